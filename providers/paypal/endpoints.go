package paypal

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/trifecta-pay/trifecta/providers"
)

var (
	_ providers.Checker   = (*Adapter)(nil)
	_ providers.Registrar = (*Adapter)(nil)
)

const hooksPath = "/v1/notifications/webhooks"

// hookBody is one webhook (PayPal OpenAPI notifications v1: webhook).
type hookBody struct {
	ID         string     `json:"id,omitempty"`
	URL        string     `json:"url"`
	EventTypes []hookType `json:"event_types"`
}

type hookType struct {
	Name   string `json:"name"`
	Status string `json:"status,omitempty"` // ENABLED or DISABLED, only in answers
}

func (h hookBody) endpoint() providers.Endpoint {
	e := providers.Endpoint{ID: h.ID, URL: h.URL, Enabled: true} // PayPal has no switched-off webhooks
	for _, t := range h.EventTypes {
		if t.Status == "" || t.Status == "ENABLED" {
			e.Events = append(e.Events, t.Name)
		}
	}
	return e
}

// EndpointNeeds are the events after which something must be read. PayPal pins no API
// version.
func (a *Adapter) EndpointNeeds() providers.EndpointNeeds {
	return providers.EndpointNeeds{Events: slices.Clone(relevant)}
}

// Check gets a token and lists the webhooks with it. Whether money is real is known
// by the host alone, so answers don't say.
func (a *Adapter) Check(ctx context.Context) (providers.Health, error) {
	got, _, err := a.hooks(ctx, "check")
	if err != nil {
		return providers.Health{}, err
	}
	return providers.Health{Date: got.date()}, nil
}

// Endpoints lists the webhooks of our REST app.
func (a *Adapter) Endpoints(ctx context.Context) ([]providers.Endpoint, error) {
	_, list, err := a.hooks(ctx, "list_endpoints")
	if err != nil {
		return nil, err
	}
	out := make([]providers.Endpoint, 0, len(list))
	for _, h := range list {
		out = append(out, h.endpoint())
	}
	return out, nil
}

// hooks reads the list. It has no pages, and, with no webhook at all, perhaps no
// members either, so read, which refuses an empty object, is not used.
func (a *Adapter) hooks(ctx context.Context, op string) (*answer, []hookBody, error) {
	c := call{op: op, method: http.MethodGet, path: hooksPath}
	got, err := a.api.do(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	var list struct {
		Webhooks []hookBody `json:"webhooks"`
	}
	if err := a.api.decode(c, got, &list); err != nil {
		return nil, nil, err
	}
	return got, list.Webhooks, nil
}

// CreateEndpoint registers a URL. PayPal takes no idempotency key here; a URL can be
// registered once only, so a repeat is refused and makes no second one. connect must
// be false: connected accounts come with the marketplace.
func (a *Adapter) CreateEndpoint(ctx context.Context, url string, connect bool, _ string) (providers.Endpoint, error) {
	const op = "create_endpoint"
	if connect {
		return providers.Endpoint{}, &providers.Error{Class: providers.Refused, Provider: Provider, Op: op, Code: "unsupported"}
	}
	body := hookBody{URL: url, EventTypes: hookTypes(relevant)}
	var made hookBody
	got, err := a.api.write(ctx, op, hooksPath, "", body, &made)
	if err != nil {
		return providers.Endpoint{}, err
	}
	if made.ID == "" {
		return providers.Endpoint{}, a.api.unreadable(op, got, nil)
	}
	return made.endpoint(), nil
}

// UpdateEndpoint sets a webhook's events (PayPal OpenAPI notifications v1:
// webhooks.update, replace only).
func (a *Adapter) UpdateEndpoint(ctx context.Context, id string, events []string, _ string) (providers.Endpoint, error) {
	const op = "update_endpoint"
	if err := checkID(op, id); err != nil {
		return providers.Endpoint{}, err
	}
	raw, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/event_types", "value": hookTypes(events)}})
	if err != nil {
		return providers.Endpoint{}, &providers.Error{Class: providers.Refused, Provider: Provider, Op: op, Code: "not_encodable", Cause: err}
	}
	c := call{op: op, method: http.MethodPatch, path: hooksPath + "/" + id, body: raw}
	got, err := a.api.do(ctx, c)
	if err != nil {
		return providers.Endpoint{}, err
	}
	var now hookBody
	if err := a.api.decode(c, got, &now); err != nil {
		return providers.Endpoint{}, err
	}
	return now.endpoint(), nil
}

func hookTypes(events []string) []hookType {
	out := make([]hookType, 0, len(events))
	for _, e := range events {
		out = append(out, hookType{Name: e})
	}
	return out
}
