package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
)

// PointAlertBox names the writes of channels' queues.
const PointAlertBox WritePoint = "alert.box"

const alertBoxesName = "alert_boxes"

// AlertBoxCollection declares the queues of alert channels: one document a channel, found by id only.
func AlertBoxCollection() Collection { return Collection{Name: alertBoxesName} }

var _ alerts.Store = (*Alerts)(nil)

type alertBoxRecord struct {
	Schema int        `json:"schema"`
	Box    alerts.Box `json:"box"`
}

func alertBoxID(channel string) string { return "box/" + channel }

func alertBoxOf(d Doc) (alerts.Box, error) {
	var r alertBoxRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return alerts.Box{}, fmt.Errorf("store: %s can't be read: %w", d.ID, err)
	}
	return r.Box, nil
}

func alertBoxDoc(b alerts.Box) (Doc, error) {
	body, err := json.Marshal(alertBoxRecord{Schema: 1, Box: b})
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode the queue of %s: %w", b.Channel, err)
	}
	return Doc{ID: alertBoxID(b.Channel), Body: body}, nil
}

// Box reads a channel's queue; an empty one if there was never any.
func (s *Alerts) Box(ctx context.Context, channel string) (alerts.Box, error) {
	d, err := s.e.Get(ctx, alertBoxesName, alertBoxID(channel))
	if errors.Is(err, ErrNotFound) {
		return alerts.Box{Channel: channel}, nil
	}
	if err != nil {
		return alerts.Box{}, portError(err)
	}
	return alertBoxOf(d)
}

// Boxes lists all queues, also of channels that are configured no more: there are as many as there ever were channels.
func (s *Alerts) Boxes(ctx context.Context) ([]alerts.Box, error) {
	var out []alerts.Box
	var problems []error
	for after := ""; ; {
		docs, next, err := s.e.Scan(ctx, alertBoxesName, after, 0)
		if err != nil {
			return out, errors.Join(append(problems, portError(err))...)
		}
		for _, d := range docs {
			b, err := alertBoxOf(d)
			if err != nil {
				problems = append(problems, err)
				continue
			}
			out = append(out, b)
		}
		if after = next; next == "" {
			return out, errors.Join(problems...)
		}
	}
}

// ChangeBox changes a channel's queue by compare-and-swap, making it on first use. fn may run more than once; without
// its result nothing is written.
func (s *Alerts) ChangeBox(ctx context.Context, channel string, fn func(*alerts.Box) bool) error {
	ctx = WithPoint(ctx, PointAlertBox)
	change := func() error {
		_, err := Update(ctx, s.e, alertBoxesName, alertBoxID(channel), func(d Doc) (Doc, error) {
			b, err := alertBoxOf(d)
			if err != nil {
				return Doc{}, err
			}
			if !fn(&b) {
				return Doc{}, ErrUnchanged
			}
			return alertBoxDoc(b)
		})
		return err
	}
	err := change()
	if errors.Is(err, ErrNotFound) {
		var d Doc
		if d, err = alertBoxDoc(alerts.Box{Channel: channel}); err != nil {
			return err
		}
		if _, _, err = InsertOnce(ctx, s.e, alertBoxesName, d); err == nil {
			err = change()
		}
	}
	return portError(err)
}
