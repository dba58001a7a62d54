package sandbox

import (
	"net/http"
	"slices"
	"time"
)

// Endpoint is one webhook destination.
type Endpoint struct {
	ID  string
	URL string
	// Secret signs Stripe's deliveries; WebhookID goes into PayPal's signed string.
	Secret    string
	WebhookID string
	// Connect endpoints get only the events of connected accounts, others only
	// those of the platform's own account (Stripe docs: Connect webhooks).
	Connect bool
	// API is "stripe" or "paypal".
	API string
	// Owner limits the endpoint to one platform account; empty takes all.
	Owner string
	// Types limits the event types; empty or containing "*" takes all.
	Types []string
}

// Event is one thing an API announced. Body is delivered byte for byte.
type Event struct {
	ID     string
	Type   string
	Object string // id of the object it is about
	API    string
	// Account is the connected account, empty for the platform's own.
	Account string
	// Owner is the platform account concerned; empty when the API has only one.
	Owner string
	Body  []byte
	At    time.Time // virtual
}

// Signer makes the headers that prove an event's origin. It is called anew for each
// attempt (counted from 1), because providers stamp every attempt afresh. wall is
// the real clock: tolerance checks on the other side use it too.
type Signer func(ep Endpoint, ev Event, attempt int, wall time.Time) (http.Header, error)

// SetSigner registers the signer of an API's deliveries.
func (w *World) SetSigner(api string, s Signer) {
	w.inner.Lock()
	defer w.inner.Unlock()
	w.signers[api] = s
}

// AddEndpoint registers a webhook destination and returns it with its ID filled in
// ("we_..." if empty). The same URL may be registered more than once.
func (w *World) AddEndpoint(ep Endpoint) Endpoint {
	if ep.ID == "" {
		ep.ID = w.NewID("we_", 24)
	}
	w.inner.Lock()
	defer w.inner.Unlock()
	w.endpoints = append(w.endpoints, &ep)
	return ep
}

// RemoveEndpoint deletes an endpoint; its pending retries stop. It says whether
// there was one.
func (w *World) RemoveEndpoint(api, id string) bool {
	w.inner.Lock()
	defer w.inner.Unlock()
	n := len(w.endpoints)
	w.endpoints = slices.DeleteFunc(w.endpoints, func(e *Endpoint) bool { return e.API == api && e.ID == id })
	return len(w.endpoints) < n
}

// Endpoints lists an API's endpoints in order of registration.
func (w *World) Endpoints(api string) []Endpoint {
	w.inner.Lock()
	defer w.inner.Unlock()
	var out []Endpoint
	for _, e := range w.endpoints {
		if e.API == api {
			out = append(out, *e)
		}
	}
	return out
}

// Emit records an event and queues its deliveries to every matching endpoint of its
// API; webhook faults (drop, duplicate, delay, reorder) are drawn here. A dropped
// delivery is recorded as dropped and never sent. A zero At becomes Now.
func (w *World) Emit(ev Event) {
	if ev.At.IsZero() {
		ev.At = w.Now()
	}
	w.inner.Lock()
	w.events = append(w.events, ev)
	for _, ep := range w.endpoints {
		if !ep.wants(ev) {
			continue
		}
		f := w.faults.Webhooks
		dropped := w.chance(f.Drop)
		twice := w.chance(f.Duplicate)
		w.queue(ev, *ep, ev.At.Add(w.deliveryDelay(f)), dropped)
		if twice && !dropped {
			w.queue(ev, *ep, ev.At.Add(w.deliveryDelay(f)), false)
		}
	}
	w.inner.Unlock()
	w.wake()
}

// wants says whether the event goes to this endpoint.
func (e *Endpoint) wants(ev Event) bool {
	return e.API == ev.API && e.Connect == (ev.Account != "") &&
		(e.Owner == "" || ev.Owner == "" || e.Owner == ev.Owner) &&
		(len(e.Types) == 0 || slices.Contains(e.Types, "*") || slices.Contains(e.Types, ev.Type))
}

// Events returns everything an API announced, dropped deliveries included, in order
// of emission.
func (w *World) Events(api string) []Event {
	w.inner.Lock()
	defer w.inner.Unlock()
	var out []Event
	for _, e := range w.events {
		if e.API == api {
			out = append(out, e)
		}
	}
	return out
}

// PendingDeliveries counts the deliveries of an event that are not finished
// (Stripe's pending_webhooks).
func (w *World) PendingDeliveries(api, event string) int {
	w.inner.Lock()
	defer w.inner.Unlock()
	return w.pending[api+" "+event]
}

// Resend queues the event again, now, to every matching endpoint, or only to the
// one with that id. No fault is applied: somebody asked for it. It returns how many
// deliveries were queued, and whether the event exists.
func (w *World) Resend(api, event, endpoint string) (int, bool) {
	now := w.Now()
	w.inner.Lock()
	i := slices.IndexFunc(w.events, func(e Event) bool { return e.API == api && e.ID == event })
	if i < 0 {
		w.inner.Unlock()
		return 0, false
	}
	n := 0
	for _, ep := range w.endpoints {
		if ep.wants(w.events[i]) && (endpoint == "" || endpoint == ep.ID || endpoint == ep.WebhookID) {
			w.queue(w.events[i], *ep, now, false)
			n++
		}
	}
	w.inner.Unlock()
	w.wake()
	return n, true
}

// Pending counts all deliveries that are not finished.
func (w *World) Pending() int {
	w.inner.Lock()
	defer w.inner.Unlock()
	n := 0
	for _, of := range w.pending {
		n += of
	}
	return n
}
