package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/settings"
)

// Write points of the runtime settings.
const (
	PointSettingsInsert  WritePoint = "settings.insert"
	PointSettingsReplace WritePoint = "settings.replace"
)

const (
	settingsName = "settings"
	settingsID   = "settings/runtime"
)

// SettingsCollection declares the runtime settings: one document, found by its id.
func SettingsCollection() Collection { return Collection{Name: settingsName} }

// Settings keeps the runtime settings over an Engine. It implements settings.Store.
type Settings struct{ e Engine }

var _ settings.Store = (*Settings)(nil)

// NewSettings keeps runtime settings in an engine.
func NewSettings(e Engine) *Settings { return &Settings{e: e} }

type settingsRecord struct {
	Schema   int                        `json:"schema"`
	Sections map[string]json.RawMessage `json:"sections"`
	Changes  []settingsChange           `json:"changes"`
}

type settingsChange struct {
	Version  int64                      `json:"version"`
	AtMS     int64                      `json:"at_ms"` // Unix milliseconds
	ByType   string                     `json:"by_type"`
	ByID     string                     `json:"by_id"`
	Reason   string                     `json:"reason"`
	Sections []string                   `json:"sections"`
	Values   map[string]json.RawMessage `json:"values,omitempty"`
}

func settingsOf(d Doc) (settings.Document, error) {
	var r settingsRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return settings.Document{}, fmt.Errorf("store: the settings can't be read: %w", err)
	}
	if r.Schema != 1 {
		return settings.Document{}, fmt.Errorf("store: the settings have schema %d, this program reads 1", r.Schema)
	}
	out := settings.Document{Version: d.Version, Sections: r.Sections}
	for _, c := range r.Changes {
		out.Changes = append(out.Changes, settings.Change{
			Version: c.Version, At: time.UnixMilli(c.AtMS).UTC(), By: payment.Actor{Type: c.ByType, ID: c.ByID},
			Reason: c.Reason, Sections: c.Sections, Values: c.Values,
		})
	}
	return out, nil
}

// settingsDoc is the stored form. What a newer version of the program keeps beside
// the keys known here is in old, and stays.
func settingsDoc(old Doc, s settings.Document) (Doc, error) {
	r := settingsRecord{Schema: 1, Sections: s.Sections}
	for _, c := range s.Changes {
		r.Changes = append(r.Changes, settingsChange{
			Version: c.Version, AtMS: c.At.UnixMilli(), ByType: c.By.Type, ByID: c.By.ID,
			Reason: c.Reason, Sections: c.Sections, Values: c.Values,
		})
	}
	all := map[string]json.RawMessage{}
	if len(old.Body) > 0 {
		if err := json.Unmarshal(old.Body, &all); err != nil {
			return Doc{}, fmt.Errorf("store: the settings can't be read: %w", err)
		}
	}
	known := map[string]json.RawMessage{}
	body, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(body, &known)
	}
	if err == nil {
		maps.Copy(all, known)
		body, err = json.Marshal(all)
	}
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode the settings: %w", err)
	}
	return Doc{ID: settingsID, Body: body}, nil
}

// Read implements settings.Store.
func (s *Settings) Read(ctx context.Context) (settings.Document, error) {
	d, err := s.e.Get(ctx, settingsName, settingsID)
	if errors.Is(err, ErrNotFound) {
		return settings.Document{}, nil
	}
	if err != nil {
		return settings.Document{}, portError(err)
	}
	return settingsOf(d)
}

// Change implements settings.Store.
func (s *Settings) Change(ctx context.Context, fn func(settings.Document) (settings.Document, error)) (settings.Document, error) {
	replace := func() (Doc, error) {
		return Update(WithPoint(ctx, PointSettingsReplace), s.e, settingsName, settingsID, func(d Doc) (Doc, error) {
			old, err := settingsOf(d)
			if err != nil {
				return Doc{}, err
			}
			next, err := fn(old)
			if err != nil {
				return Doc{}, err
			}
			return settingsDoc(d, next)
		})
	}
	d, err := replace()
	if errors.Is(err, ErrNotFound) {
		next, err := fn(settings.Document{})
		if err != nil {
			return settings.Document{}, err
		}
		first, err := settingsDoc(Doc{}, next)
		if err != nil {
			return settings.Document{}, err
		}
		stored, created, err := InsertOnce(WithPoint(ctx, PointSettingsInsert), s.e, settingsName, first)
		switch {
		case err != nil:
			return settings.Document{}, portError(err)
		case created:
			return settingsOf(stored)
		}
		if d, err = replace(); err != nil {
			return settings.Document{}, portError(err)
		}
		return settingsOf(d)
	}
	if err != nil {
		return settings.Document{}, portError(err)
	}
	return settingsOf(d)
}
