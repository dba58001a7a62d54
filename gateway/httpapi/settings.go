package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/settings"
)

// Settings is where operators read and change what can be changed while the
// service runs. Errors are gateway's, or a *payment.Error for the caller.
type Settings interface {
	ReadSettings(ctx context.Context) (settings.Document, error)
	ChangeSettings(ctx context.Context, c gateway.Caller, r settings.Request) (settings.Document, error)
}

type settingsWire struct {
	Object   string                     `json:"object"`
	Version  int64                      `json:"version"`
	Settings map[string]json.RawMessage `json:"settings"`
	Changes  []settingsChangeWire       `json:"changes"`
}

type settingsChangeWire struct {
	Version  int64                      `json:"version"`
	At       time.Time                  `json:"at"`
	Actor    settingsActorWire          `json:"actor"`
	Reason   string                     `json:"reason"`
	Sections []string                   `json:"sections"`
	Settings map[string]json.RawMessage `json:"settings"`
}

type settingsActorWire struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

func (a *api) showSettings(c *gin.Context, d settings.Document) error {
	out := settingsWire{Object: "settings", Version: d.Version, Settings: d.Sections, Changes: []settingsChangeWire{}}
	if out.Settings == nil {
		out.Settings = map[string]json.RawMessage{}
	}
	for i := len(d.Changes) - 1; i >= 0; i-- {
		change := d.Changes[i]
		out.Changes = append(out.Changes, settingsChangeWire{
			Version: change.Version, At: change.At.UTC(), Actor: settingsActorWire{change.By.Type, change.By.ID},
			Reason: change.Reason, Sections: change.Sections, Settings: change.Values,
		})
	}
	c.Header("ETag", `"`+strconv.FormatInt(d.Version, 10)+`"`)
	return a.json(c, http.StatusOK, out)
}

func (a *api) getSettings(c *gin.Context) error {
	if a.opts.Settings == nil {
		return notServed()
	}
	d, err := a.opts.Settings.ReadSettings(c.Request.Context())
	if err != nil {
		return portError(err)
	}
	return a.showSettings(c, d)
}

func (a *api) putSettings(c *gin.Context) error {
	if a.opts.Settings == nil {
		return notServed()
	}
	r, err := bindSettings(body(c), c.Request.Header.Values("If-Match"))
	if err != nil {
		return err
	}
	d, err := a.opts.Settings.ChangeSettings(c.Request.Context(), callerOf(c), r)
	if err != nil {
		return portError(err)
	}
	return a.showSettings(c, d)
}

// bindSettings reads a change of settings. What a section may hold is for the
// section to judge; that it is strict JSON is judged here.
func bindSettings(raw []byte, ifMatch []string) (settings.Request, error) {
	var r settings.Request
	n, err := parseJSON(raw)
	if err != nil {
		return r, err
	}
	f := &faults{}
	o := f.object(n, "")
	if o.valid {
		for _, key := range []string{"reason", "settings"} {
			if !o.has(key) {
				f.add("/"+key, "is required")
			}
		}
		if o.has("version") == (len(ifMatch) > 0) {
			f.add("/version", "is required, here or as If-Match, not both: the version that was read")
		}
	}
	o.integer("version", &r.Version, 0, payment.MaxMinor)
	o.str("reason", &r.Reason)
	if n, at, ok := o.take("settings"); ok && n.kind != kindObject {
		f.wrong(at, n, "an object")
	}
	o.done()
	if len(ifMatch) > 0 {
		version, err := strconv.ParseInt(strings.Trim(ifMatch[0], `"`), 10, 64)
		if err != nil || len(ifMatch) > 1 || version < 0 {
			return r, malformed("If-Match", "must be the ETag of an answer")
		}
		r.Version = version
	}
	if err := f.err(); err != nil {
		return r, err
	}
	var values struct {
		Settings map[string]json.RawMessage `json:"settings"`
	}
	if err := json.Unmarshal(raw, &values); err != nil { // was read strictly above
		return r, malformed("/settings", "must be an object")
	}
	r.Values = values.Settings
	return r, nil
}
