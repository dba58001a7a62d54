package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ReadControl reads a control request's JSON into v whatever its Content-Type; an
// empty body leaves v as it is, and a name that v does not have is refused, so that a
// misspelt fault is no fault that never happens. At most 1 MiB.
func ReadControl(r *http.Request, v any) error {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if len(b) > maxBody {
		return fmt.Errorf("body larger than %d bytes", maxBody)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	in := json.NewDecoder(bytes.NewReader(b))
	in.DisallowUnknownFields()
	if err := in.Decode(v); err != nil {
		return fmt.Errorf("malformed JSON: %w", err)
	}
	if in.More() {
		return errors.New("malformed JSON: something stands behind the object")
	}
	return nil
}

// WriteControl answers a control request with JSON.
func WriteControl(rw http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(rw, `{"error":"answer not encodable"}`, http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	// A caller that hung up can't be told; net/http logs nothing and neither do we.
	_, _ = rw.Write(append(b, '\n'))
}

// ControlError answers {"error": message}.
func ControlError(rw http.ResponseWriter, status int, message string) {
	WriteControl(rw, status, map[string]string{"error": message})
}

// ControlRoutes registers the control routes that every listener has:
// /_sandbox/webhooks…, /_sandbox/clock…, /_sandbox/ledger and /_sandbox/faults.
// Events, endpoints and the ledger are those of the given API; clock and faults are
// the whole world's.
func (w *World) ControlRoutes(mux *http.ServeMux, api string) {
	mux.HandleFunc("POST /_sandbox/webhooks/endpoints", func(rw http.ResponseWriter, r *http.Request) { w.postEndpoint(rw, r, api) })
	mux.HandleFunc("GET /_sandbox/webhooks/endpoints", func(rw http.ResponseWriter, _ *http.Request) {
		out := []endpointJSON{}
		for _, e := range w.Endpoints(api) {
			out = append(out, showEndpoint(e))
		}
		WriteControl(rw, http.StatusOK, map[string]any{"data": out})
	})
	mux.HandleFunc("GET /_sandbox/webhooks", func(rw http.ResponseWriter, _ *http.Request) {
		WriteControl(rw, http.StatusOK, map[string]any{"data": w.Deliveries(api)})
	})
	mux.HandleFunc("POST /_sandbox/webhooks/{event}/resend", func(rw http.ResponseWriter, r *http.Request) {
		n, ok := w.Resend(api, r.PathValue("event"), "")
		if !ok {
			ControlError(rw, http.StatusNotFound, "no such event")
			return
		}
		WriteControl(rw, http.StatusOK, map[string]any{"event": r.PathValue("event"), "deliveries": n})
	})
	mux.HandleFunc("GET /_sandbox/clock", func(rw http.ResponseWriter, _ *http.Request) { w.answerClock(rw) })
	mux.HandleFunc("POST /_sandbox/clock/advance", w.postAdvance)
	mux.HandleFunc("GET /_sandbox/ledger", func(rw http.ResponseWriter, _ *http.Request) {
		out := []LedgerRow{}
		for _, row := range w.Ledger() {
			if row.API == "" || row.API == api {
				out = append(out, row)
			}
		}
		WriteControl(rw, http.StatusOK, map[string]any{"data": out})
	})
	mux.HandleFunc("GET /_sandbox/faults", func(rw http.ResponseWriter, _ *http.Request) {
		WriteControl(rw, http.StatusOK, w.Faults())
	})
	mux.HandleFunc("PUT /_sandbox/faults", w.putFaults)
	mux.HandleFunc("DELETE /_sandbox/faults", func(rw http.ResponseWriter, _ *http.Request) {
		if err := w.SetFaults(Faults{}); err != nil {
			ControlError(rw, http.StatusInternalServerError, err.Error())
			return
		}
		WriteControl(rw, http.StatusOK, w.Faults())
	})
}

// endpointJSON is an endpoint on the control API.
type endpointJSON struct {
	ID        string   `json:"id"`
	URL       string   `json:"url"`
	Secret    string   `json:"secret,omitempty"`
	WebhookID string   `json:"webhook_id,omitempty"`
	Connect   bool     `json:"connect"`
	Account   string   `json:"account,omitempty"` // platform account; empty: all
	Types     []string `json:"types,omitempty"`
}

func showEndpoint(e Endpoint) endpointJSON {
	return endpointJSON{ID: e.ID, URL: e.URL, Secret: e.Secret, WebhookID: e.WebhookID, Connect: e.Connect, Account: e.Owner, Types: e.Types}
}

func (w *World) postEndpoint(rw http.ResponseWriter, r *http.Request, api string) {
	var in endpointJSON
	if err := ReadControl(r, &in); err != nil {
		ControlError(rw, http.StatusBadRequest, err.Error())
		return
	}
	if in.URL == "" {
		ControlError(rw, http.StatusBadRequest, "url is required")
		return
	}
	if api == "stripe" && in.Secret == "" {
		in.Secret = w.NewID("whsec_", 32)
	}
	if api == "paypal" && in.WebhookID == "" {
		in.WebhookID = w.NewID("WH-", 17)
	}
	ep := w.AddEndpoint(Endpoint{
		URL: in.URL, Secret: in.Secret, WebhookID: in.WebhookID, Connect: in.Connect,
		API: api, Owner: in.Account, Types: in.Types,
	})
	WriteControl(rw, http.StatusOK, showEndpoint(ep))
}

// maxAdvance keeps a typing mistake from overflowing the clock.
const maxAdvance = 10 * 365 * 24 * time.Hour

func (w *World) postAdvance(rw http.ResponseWriter, r *http.Request) {
	var in struct {
		Seconds int64 `json:"seconds"`
	}
	if err := ReadControl(r, &in); err != nil {
		ControlError(rw, http.StatusBadRequest, err.Error())
		return
	}
	if in.Seconds < 0 || in.Seconds > int64(maxAdvance/time.Second) {
		ControlError(rw, http.StatusBadRequest, "seconds must be between 0 and ten years")
		return
	}
	w.Advance(r.Context(), time.Duration(in.Seconds)*time.Second)
	w.answerClock(rw)
}

func (w *World) answerClock(rw http.ResponseWriter) {
	WriteControl(rw, http.StatusOK, map[string]any{"now": w.Now()})
}

func (w *World) putFaults(rw http.ResponseWriter, r *http.Request) {
	var f Faults
	if err := ReadControl(r, &f); err != nil {
		ControlError(rw, http.StatusBadRequest, err.Error())
		return
	}
	if err := w.SetFaults(f); err != nil {
		ControlError(rw, http.StatusBadRequest, err.Error())
		return
	}
	WriteControl(rw, http.StatusOK, w.Faults())
}
