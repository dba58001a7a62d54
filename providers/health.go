package providers

import (
	"context"
	"time"
)

// Health is what a cheap read with the account's credentials told.
type Health struct {
	// Date is the provider's clock in its answer, to the second; zero if it said none.
	Date time.Time
	// Live is the mode that the answer says it is from. Known is false where answers
	// don't say.
	Live, Known bool
}

// Checker is an adapter whose account can be asked whether the credentials work,
// without changing anything.
type Checker interface {
	Check(ctx context.Context) (Health, error)
}

// Endpoint is one registration of a webhook URL at a provider.
type Endpoint struct {
	ID      string
	URL     string
	Enabled bool
	Version string   // API version that its events are rendered in; empty if it is not pinned
	Events  []string // event types; "*" is every one that needs no explicit choice
	// Secret signs the deliveries. Providers that have one show it once, in the answer
	// to CreateEndpoint; it must not be logged.
	Secret string
}

// EndpointNeeds are what a registration must have for us.
type EndpointNeeds struct {
	Version string   // API version, empty if the provider has none to pin
	Events  []string // each of these, by name or by "*"
}

// Registrar is an adapter that can read and make webhook registrations.
type Registrar interface {
	EndpointNeeds() EndpointNeeds
	// Endpoints lists every registration of this account.
	Endpoints(ctx context.Context) ([]Endpoint, error)
	// CreateEndpoint registers a URL for what EndpointNeeds says; connect makes it one
	// for connected accounts, where the provider has those. After Unknown, list before
	// anything else: it may have been made.
	CreateEndpoint(ctx context.Context, url string, connect bool, key string) (Endpoint, error)
	// UpdateEndpoint enables a registration and sets its events. Its version can't be
	// changed. Repeating it does no harm.
	UpdateEndpoint(ctx context.Context, id string, events []string, key string) (Endpoint, error)
}

// Check asks whether the credentials work. can is false where the adapter has no
// way to.
func (a *Account) Check(ctx context.Context) (h Health, can bool, err error) {
	checker, ok := a.inner.(Checker)
	if !ok {
		return Health{}, false, nil
	}
	h, err = guarded(ctx, a, "check", a.opts.ReadTimeout, checker.Check)
	return h, true, err
}

// Registrar gives the account's webhook registrations behind the guard, and whether
// the adapter has any.
func (a *Account) Registrar() (Registrar, bool) {
	r, ok := a.inner.(Registrar)
	return guardedRegistrar{a, r}, ok
}

type guardedRegistrar struct {
	account *Account
	inner   Registrar
}

func (g guardedRegistrar) EndpointNeeds() EndpointNeeds { return g.inner.EndpointNeeds() }

func (g guardedRegistrar) Endpoints(ctx context.Context) ([]Endpoint, error) {
	return guarded(ctx, g.account, "list_endpoints", g.account.opts.ReadTimeout, g.inner.Endpoints)
}

func (g guardedRegistrar) CreateEndpoint(ctx context.Context, url string, connect bool, key string) (Endpoint, error) {
	return guarded(ctx, g.account, "create_endpoint", g.account.opts.WriteTimeout, func(ctx context.Context) (Endpoint, error) {
		return g.inner.CreateEndpoint(ctx, url, connect, key)
	})
}

func (g guardedRegistrar) UpdateEndpoint(ctx context.Context, id string, events []string, key string) (Endpoint, error) {
	return guarded(ctx, g.account, "update_endpoint", g.account.opts.WriteTimeout, func(ctx context.Context) (Endpoint, error) {
		return g.inner.UpdateEndpoint(ctx, id, events, key)
	})
}

// Missing lists what a registration lacks of the needs, event types that it does not
// get.
func (n EndpointNeeds) Missing(e Endpoint) []string {
	var out []string
	have := map[string]bool{}
	for _, event := range e.Events {
		have[event] = true
	}
	for _, event := range n.Events {
		if !have["*"] && !have[event] {
			out = append(out, event)
		}
	}
	return out
}
