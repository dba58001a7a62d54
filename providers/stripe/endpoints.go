package stripe

import (
	"context"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/providers"
)

var (
	_ providers.Checker   = (*Adapter)(nil)
	_ providers.Registrar = (*Adapter)(nil)
)

// wanted are the events that a webhook endpoint must get: every type of the families
// that relevant knows, as of API 2023-10-16 (Stripe docs: types of events). They are
// named because "*" leaves out types that need an explicit choice.
var wanted = []string{
	"checkout.session.completed", "checkout.session.expired",
	"checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
	"payment_intent.created", "payment_intent.requires_action", "payment_intent.processing", "payment_intent.succeeded",
	"payment_intent.payment_failed", "payment_intent.canceled", "payment_intent.amount_capturable_updated", "payment_intent.partially_funded",
	"charge.pending", "charge.succeeded", "charge.failed", "charge.captured", "charge.expired", "charge.updated",
	"charge.refunded", "charge.refund.updated",
	"charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed",
	"charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated",
	"refund.created", "refund.updated",
	"radar.early_fraud_warning.created", "radar.early_fraud_warning.updated",
	"review.opened", "review.closed",
}

// APIVersion is the version that the SDK speaks, and in which webhooks must be rendered.
const APIVersion = stripesdk.APIVersion

// EndpointNeeds are the pinned API version and the events of payments.
func (a *Adapter) EndpointNeeds() providers.EndpointNeeds {
	return providers.EndpointNeeds{Version: APIVersion, Events: append([]string{}, wanted...)}
}

// Check reads the balance, which every key with any right to money may.
func (a *Adapter) Check(ctx context.Context) (providers.Health, error) {
	return read(ctx, "check", func(ctx context.Context) (providers.Health, error) {
		b, err := a.sdk.Balance.Get(&stripesdk.BalanceParams{Params: stripesdk.Params{Context: ctx}})
		if b, err = whole(b, err, func() bool { return b.Object == "balance" }); err != nil {
			return providers.Health{}, err
		}
		return providers.Health{Date: date(b.LastResponse), Live: b.Livemode, Known: true}, nil
	})
}

// Endpoints lists the account's webhook endpoints. Stripe does not say which of them
// are for connected accounts.
func (a *Adapter) Endpoints(ctx context.Context) ([]providers.Endpoint, error) {
	list, err := read(ctx, "list_endpoints", func(ctx context.Context) ([]*stripesdk.WebhookEndpoint, error) {
		return all(ctx, func(list stripesdk.ListParams) *stripesdk.Iter {
			return a.sdk.WebhookEndpoints.List(&stripesdk.WebhookEndpointListParams{ListParams: list}).Iter
		}, func(e *stripesdk.WebhookEndpoint) string { return e.ID })
	})
	if err != nil {
		return nil, err
	}
	out := make([]providers.Endpoint, 0, len(list))
	for _, e := range list {
		out = append(out, endpoint(e))
	}
	return out, nil
}

func endpoint(e *stripesdk.WebhookEndpoint) providers.Endpoint {
	return providers.Endpoint{ID: e.ID, URL: e.URL, Enabled: e.Status == "enabled", Version: e.APIVersion, Events: e.EnabledEvents, Secret: e.Secret}
}

// CreateEndpoint registers a URL, pinned to our API version.
func (a *Adapter) CreateEndpoint(ctx context.Context, url string, connect bool, key string) (providers.Endpoint, error) {
	const op = "create_endpoint"
	if err := checkKey(op, key); err != nil {
		return providers.Endpoint{}, err
	}
	return write(ctx, op, func(ctx context.Context) (providers.Endpoint, error) {
		params := &stripesdk.WebhookEndpointParams{
			Params: stripesdk.Params{Context: ctx, IdempotencyKey: stripesdk.String(key)}, URL: stripesdk.String(url),
			APIVersion: stripesdk.String(APIVersion), EnabledEvents: stripesdk.StringSlice(wanted),
			Description: stripesdk.String("Trifecta, account " + a.opts.Account),
		}
		if connect {
			params.Connect = stripesdk.Bool(true)
		}
		e, err := a.sdk.WebhookEndpoints.New(params)
		if e, err = whole(e, err, func() bool { return e.ID != "" && e.Secret != "" }); err != nil {
			return providers.Endpoint{}, err
		}
		return endpoint(e), nil
	})
}

// UpdateEndpoint enables an endpoint and sets its events.
func (a *Adapter) UpdateEndpoint(ctx context.Context, id string, events []string, key string) (providers.Endpoint, error) {
	const op = "update_endpoint"
	if err := checkKey(op, key); err != nil {
		return providers.Endpoint{}, err
	}
	return write(ctx, op, func(ctx context.Context) (providers.Endpoint, error) {
		e, err := a.sdk.WebhookEndpoints.Update(id, &stripesdk.WebhookEndpointParams{
			Params:   stripesdk.Params{Context: ctx, IdempotencyKey: stripesdk.String(key)},
			Disabled: stripesdk.Bool(false), EnabledEvents: stripesdk.StringSlice(events),
		})
		if e, err = whole(e, err, func() bool { return e.ID == id }); err != nil {
			return providers.Endpoint{}, err
		}
		return endpoint(e), nil
	})
}
