package paypalapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// eventJSON is the envelope of a webhook (PayPal OpenAPI notifications v1: event).
type eventJSON struct {
	ID              string          `json:"id"`
	EventVersion    string          `json:"event_version"`
	CreateTime      string          `json:"create_time"`
	ResourceType    string          `json:"resource_type"`
	ResourceVersion string          `json:"resource_version"`
	EventType       string          `json:"event_type"`
	Summary         string          `json:"summary"`
	Resource        json.RawMessage `json:"resource"`
	Links           []link          `json:"links"`
}

// announce emits an event with the resource as it is now. Every REST app of the
// merchant has its own webhooks; client names the app that made the order.
func (s *server) announce(kind, resourceType, summary, object, client string, resource any) {
	raw, err := encode(resource)
	if err == nil {
		id := "WH-" + s.newID(17) + "-" + s.newID(17)
		now := s.w.Now()
		var body []byte
		body, err = encode(eventJSON{
			ID: id, EventVersion: "1.0", CreateTime: stampMS(now), ResourceType: resourceType, ResourceVersion: "2.0",
			EventType: kind, Summary: summary, Resource: raw,
			Links: []link{
				{s.base + "/v1/notifications/webhooks-events/" + id, "self", http.MethodGet},
				{s.base + "/v1/notifications/webhooks-events/" + id + "/resend", "resend", http.MethodPost},
			},
		})
		if err == nil {
			s.w.Emit(sandbox.Event{ID: id, Type: kind, Object: object, API: api, Owner: client, Body: body, At: now})
			return
		}
	}
	// Our own wire structs always encode; a failure is a bug that must not pass silently.
	panic(fmt.Sprintf("paypalapi: encoding %s: %v", kind, err))
}

func (s *server) announceOrder(kind, summary string, o *order) {
	s.announce(kind, "checkout-order", summary, o.id, o.client, s.showOrder(o))
}

func (s *server) announceAuthorization(kind, summary string, a *authorization) {
	s.announce(kind, "authorization", summary, a.id, a.unit.order.client, s.showAuthorization(a))
}

func (s *server) announceCapture(kind, summary string, c *capture) {
	m := toMoney(c.amount, c.unit.currency)
	s.announce(kind, "capture", fmt.Sprintf("%s for %s %s", summary, m.CurrencyCode, m.Value), c.id, c.unit.order.client, s.showCapture(c))
}

// announceRefund: all of a capture's refund events, REFUNDED and REVERSED included,
// carry the refund; its link "up" is the capture.
func (s *server) announceRefund(kind, summary string, r *refund) {
	s.announce(kind, "refund", summary, r.id, r.capture.unit.order.client, s.showRefund(r))
}

func (s *server) announceDispute(kind, summary string, d *dispute) {
	s.announce(kind, "dispute", summary, d.id, d.capture.unit.order.client, s.showDispute(d))
}
