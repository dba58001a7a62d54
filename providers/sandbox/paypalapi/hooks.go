package paypalapi

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// eventsKept is how long events can be listed.
const eventsKept = 30 * 24 * time.Hour

// hook is a webhook that a REST app registered through the API. The core delivers to
// its endpoint.
type hook struct {
	endpoint string // id in the core
	client   string
	body     hookJSON
}

type eventTypeJSON struct {
	Name string `json:"name"`
}

type hookJSON struct {
	ID         string          `json:"id"`
	URL        string          `json:"url"`
	EventTypes []eventTypeJSON `json:"event_types"`
	Links      []link          `json:"links"`
}

// createHook is POST /v1/notifications/webhooks.
func (s *server) createHook(c *call) reply {
	var in hookJSON
	if bad := c.decode(&in); bad != nil {
		return *bad
	}
	if bad := c.checkURL("url", in.URL); in.URL == "" || bad != nil {
		return invalid("url", "INVALID_PARAMETER_SYNTAX", "url must be an absolute web address.")
	}
	if len(in.EventTypes) == 0 || len(in.EventTypes) > 500 {
		return invalid("event_types", "INVALID_ARRAY_LENGTH", "event_types must name between 1 and 500 types.")
	}
	for _, h := range s.hooks {
		if h.client == c.client && h.body.URL == in.URL {
			return reply{http.StatusBadRequest, problemJSON{Name: "WEBHOOK_URL_ALREADY_EXISTS", Message: "Webhook URL already exists"}}
		}
	}
	h := hook{client: c.client, body: hookJSON{ID: s.objectID(), URL: in.URL, EventTypes: in.EventTypes}}
	self := s.base + "/v1/notifications/webhooks/" + h.body.ID
	h.body.Links = []link{{self, "self", http.MethodGet}, {self, "delete", http.MethodDelete}}
	s.hooks[h.body.ID] = s.deliverTo(h)
	return reply{http.StatusCreated, h.body}
}

// deliverTo registers a hook's endpoint in the core.
func (s *server) deliverTo(h hook) hook {
	types := make([]string, 0, len(h.body.EventTypes))
	for _, t := range h.body.EventTypes {
		types = append(types, t.Name)
	}
	h.endpoint = s.w.AddEndpoint(sandbox.Endpoint{API: api, URL: h.body.URL, WebhookID: h.body.ID, Owner: h.client, Types: types}).ID
	return h
}

// updateHook is PATCH /v1/notifications/webhooks/{id}: replaces /url or /event_types.
func (s *server) updateHook(c *call) reply {
	h, ok := c.hook()
	if !ok {
		return c.notFound()
	}
	var in []patchJSON
	if bad := c.decode(&in); bad != nil {
		return *bad
	}
	for _, p := range in {
		var into any
		switch p.Path {
		case "/url":
			into = &h.body.URL
		case "/event_types":
			h.body.EventTypes = nil
			into = &h.body.EventTypes
		}
		if p.Op != "replace" || into == nil || json.Unmarshal(p.Value, into) != nil {
			return invalid(p.Path, "INVALID_PARAMETER_VALUE", "Only /url and /event_types can be replaced.")
		}
	}
	if bad := c.checkURL("url", h.body.URL); h.body.URL == "" || bad != nil {
		return invalid("url", "INVALID_PARAMETER_SYNTAX", "url must be an absolute web address.")
	}
	if len(h.body.EventTypes) == 0 || len(h.body.EventTypes) > 500 {
		return invalid("event_types", "INVALID_ARRAY_LENGTH", "event_types must name between 1 and 500 types.")
	}
	s.w.RemoveEndpoint(api, h.endpoint)
	h = s.deliverTo(h)
	s.hooks[h.body.ID] = h
	return reply{http.StatusOK, h.body}
}

// listHooks is GET /v1/notifications/webhooks: those of the calling app.
func (s *server) listHooks(c *call) reply {
	out := []hookJSON{}
	for _, ep := range s.w.Endpoints(api) { // in order of registration
		if h, ok := s.hooks[ep.WebhookID]; ok && h.endpoint == ep.ID && h.client == c.client {
			out = append(out, h.body)
		}
	}
	return reply{http.StatusOK, map[string]any{"webhooks": out}}
}

func (c *call) hook() (hook, bool) {
	h, ok := c.s.hooks[c.id()]
	return h, ok && h.client == c.client
}

// getHook is GET /v1/notifications/webhooks/{id}.
func (s *server) getHook(c *call) reply {
	h, ok := c.hook()
	if !ok {
		return c.notFound()
	}
	return reply{http.StatusOK, h.body}
}

// deleteHook is DELETE /v1/notifications/webhooks/{id}: its pending retries stop.
func (s *server) deleteHook(c *call) reply {
	h, ok := c.hook()
	if !ok {
		return c.notFound()
	}
	s.w.RemoveEndpoint(api, h.endpoint)
	delete(s.hooks, h.body.ID)
	return reply{status: http.StatusNoContent}
}

// seen are the events that an app may list: its own, not older than a month, newest
// first.
func (s *server) seen(c *call) []sandbox.Event {
	all := s.w.Events(api)
	out := make([]sandbox.Event, 0, len(all))
	for _, ev := range slices.Backward(all) {
		if ev.Owner == c.client && c.now.Sub(ev.At) <= eventsKept {
			out = append(out, ev)
		}
	}
	return out
}

// listEvents is GET /v1/notifications/webhooks-events, newest first. next_page_token
// is the last id of the page before, so that new events shift nothing.
func (s *server) listEvents(c *call) reply {
	q := c.r.URL.Query()
	from, to := time.Time{}, c.now
	for _, p := range []struct {
		name string
		into *time.Time
	}{{"start_time", &from}, {"end_time", &to}} {
		if q.Get(p.name) == "" {
			continue
		}
		t, ok := parseDate(q.Get(p.name))
		if !ok {
			return invalid(p.name, "INVALID_PARAMETER_SYNTAX", "The value of a field does not conform to the expected format.")
		}
		*p.into = t
	}
	size := 10
	if raw := q.Get("page_size"); raw != "" {
		n, err := strconv.Atoi(raw)
		if err != nil || n < 1 || n > maxPageSize {
			return invalid("page_size", "INVALID_PARAMETER_VALUE", "The value of a field is out of range.")
		}
		size = n
	}
	events := []json.RawMessage{}
	last, more := "", false
	found := q.Get("next_page_token") == ""
	for _, ev := range s.seen(c) {
		switch {
		case !found:
			found = ev.ID == q.Get("next_page_token")
		case ev.At.Before(from) || ev.At.After(to), q.Get("event_type") != "" && q.Get("event_type") != ev.Type,
			q.Get("transaction_id") != "" && q.Get("transaction_id") != ev.Object:
		case len(events) == size:
			more = true
		default:
			events, last = append(events, ev.Body), ev.ID
		}
	}
	path := s.base + "/v1/notifications/webhooks-events?"
	links := []link{{path + q.Encode(), "self", http.MethodGet}}
	if more {
		q.Set("next_page_token", last)
		links = append(links, link{path + q.Encode(), "next", http.MethodGet})
	}
	return reply{http.StatusOK, map[string]any{"events": events, "count": len(events), "links": links}}
}

func (c *call) event() (sandbox.Event, bool) {
	for _, ev := range c.s.seen(c) {
		if ev.ID == c.id() {
			return ev, true
		}
	}
	return sandbox.Event{}, false
}

// getEvent is GET /v1/notifications/webhooks-events/{id}.
func (s *server) getEvent(c *call) reply {
	ev, ok := c.event()
	if !ok {
		return c.notFound()
	}
	return reply{http.StatusOK, json.RawMessage(ev.Body)}
}

// resendEvent is POST /v1/notifications/webhooks-events/{id}/resend, to the webhooks
// named in the body or to all.
func (s *server) resendEvent(c *call) reply {
	ev, ok := c.event()
	if !ok {
		return c.notFound()
	}
	var in struct {
		WebhookIDs []string `json:"webhook_ids"`
	}
	if bad := c.decode(&in); bad != nil {
		return *bad
	}
	if len(in.WebhookIDs) == 0 {
		in.WebhookIDs = []string{""}
	}
	for _, id := range in.WebhookIDs {
		s.w.Resend(api, ev.ID, id)
	}
	return reply{http.StatusAccepted, json.RawMessage(ev.Body)}
}

// verifySignature is POST /v1/notifications/verify-webhook-signature. The event counts
// byte for byte as the caller wrote it.
func (s *server) verifySignature(c *call) reply {
	var in struct {
		AuthAlgo         string          `json:"auth_algo"`
		CertURL          string          `json:"cert_url"`
		TransmissionID   string          `json:"transmission_id"`
		TransmissionSig  string          `json:"transmission_sig"`
		TransmissionTime string          `json:"transmission_time"`
		WebhookID        string          `json:"webhook_id"`
		WebhookEvent     json.RawMessage `json:"webhook_event"`
	}
	if bad := c.decode(&in); bad != nil {
		return *bad
	}
	for name, v := range map[string]string{
		"auth_algo": in.AuthAlgo, "cert_url": in.CertURL, "transmission_id": in.TransmissionID, "transmission_sig": in.TransmissionSig,
		"transmission_time": in.TransmissionTime, "webhook_id": in.WebhookID, "webhook_event": string(in.WebhookEvent),
	} {
		if v == "" {
			return invalid(name, "MISSING_REQUIRED_PARAMETER", "A required field is missing.")
		}
	}
	chain, err := s.chain()
	if err != nil {
		return reply{http.StatusInternalServerError, problemJSON{Name: "INTERNAL_SERVER_ERROR", Message: err.Error()}}
	}
	status := "FAILURE"
	sig, err := base64.StdEncoding.DecodeString(in.TransmissionSig)
	known := slices.ContainsFunc(s.w.Endpoints(api), func(e sandbox.Endpoint) bool { return e.WebhookID == in.WebhookID })
	if err == nil && known && in.AuthAlgo == signingAlgo && in.CertURL == s.base+chain.certURL {
		sum := signed(in.TransmissionID, in.TransmissionTime, in.WebhookID, in.WebhookEvent)
		if rsa.VerifyPKCS1v15(&chain.key.PublicKey, crypto.SHA256, sum[:], sig) == nil {
			status = "SUCCESS"
		}
	}
	return reply{http.StatusOK, map[string]string{"verification_status": status}}
}
