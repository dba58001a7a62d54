package gateway

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Options are what the use cases need. All are required unless a default is named.
type Options struct {
	Payments Payments
	Keys     Keys
	// Disputes keeps dispute records and evidence. nil: no records are kept, and
	// disputes can't be answered.
	Disputes  Disputes
	Notify    Notify
	Providers *providers.Registry
	Apps      []App
	Clock     func() time.Time
	Token     func() string // a fresh unguessable token, at least 128 bits
	PublicURL string        // where customers' browsers reach us, without a trailing slash
	BrandName string        // shown at the provider; default: the app's name
	// Render makes the JSON that an event carries of its object.
	Render func(p *payment.Payment, e payment.Event) ([]byte, error)
	// ReturnLayer off: customers are sent on without reading the provider.
	ReturnLayer bool
	// Lease is how long one worker holds an operation; it must exceed the longest
	// provider call, and nothing is sent after it. Default 20 s.
	Lease  time.Duration
	Risk   *RiskOptions // nil: no rules against fraud, no blocks
	Logger *slog.Logger
	// Pauses are read for every new checkout, so it must cost nothing. nil: none.
	Pauses func() Pauses
	// Parallel is how many records of one batch are written at once, so that a store that
	// commits together what comes together can do so. Default 1: one after the other, in an
	// order that is always the same.
	Parallel int
}

// Service is the use cases.
type Service struct {
	opts      Options
	log       *slog.Logger
	lookBacks lookBackLimit
}

// New makes the use cases.
func New(opts Options) (*Service, error) {
	if opts.Payments == nil || opts.Keys == nil || opts.Notify == nil || opts.Providers == nil || opts.Clock == nil ||
		opts.Token == nil || opts.Render == nil || opts.Logger == nil {
		return nil, errors.New("gateway: an Options field is missing")
	}
	if opts.Lease == 0 {
		opts.Lease = 20 * time.Second
	}
	if opts.Pauses == nil {
		opts.Pauses = func() Pauses { return Pauses{} }
	}
	opts.Parallel = max(1, opts.Parallel)
	if opts.Disputes == nil {
		opts.Disputes = noDisputes{}
	}
	return &Service{opts: opts, log: opts.Logger}, nil
}

// now is our clock at the precision every store keeps.
func (s *Service) now() time.Time { return s.opts.Clock().UTC().Truncate(time.Millisecond) }

// app finds a configured app.
func (s *Service) app(name string, mode payment.Mode) (App, bool) {
	for _, a := range s.opts.Apps {
		if a.Name == name && a.Mode == mode {
			return a, true
		}
	}
	return App{}, false
}

// maxRaces bounds the compare-and-swap loop: more means that something is
// wrong, and the caller may repeat the request.
const maxRaces = 64

// change is every change of a stored payment: read, apply fn to a copy, store
// if nobody else stored meanwhile, else again. fn must be pure: it may run more
// than once.
func (s *Service) change(ctx context.Context, id string, src payment.Source, fn func(*payment.Payment) error) (*payment.Payment, error) {
	for range maxRaces {
		p, err := s.load(ctx, id)
		if err != nil {
			return nil, err
		}
		next, err := s.save(ctx, p, src, fn)
		if errors.Is(err, ErrConflict) {
			continue
		}
		return next, err
	}
	return nil, tooManyRaces(id)
}

func tooManyRaces(id string) error {
	return storeError(fmt.Errorf("%w: %s changed %d times while it was being changed", ErrUnavailable, id, maxRaces))
}

// save applies fn to the payment as read and stores it. ErrConflict means that
// it was changed meanwhile.
func (s *Service) save(ctx context.Context, p *payment.Payment, src payment.Source, fn func(*payment.Payment) error) (*payment.Payment, error) {
	now := s.now()
	src.Request = RequestID(ctx)
	next, err := p.Change(src, now, fn)
	if err != nil || next == p {
		return next, err
	}
	noted := len(next.History) > len(p.History)
	if next, err = s.finish(ctx, next, p.Version+1, now); err != nil {
		return nil, err
	}
	if err := s.opts.Payments.Replace(ctx, next); err != nil {
		if errors.Is(err, ErrConflict) {
			return nil, err
		}
		return nil, storeError(err)
	}
	if noted {
		s.logChange(ctx, next)
	}
	return s.relayCases(ctx, s.relayAlerts(ctx, next)), nil
}

// logChange writes the newest line of a payment's history into the log, so that the log of all processes, searched for a
// payment's id, tells what became of it and which layer saw it. A reason that somebody wrote stays in the history: it may
// speak of people.
func (s *Service) logChange(ctx context.Context, p *payment.Payment) {
	entry := p.History[len(p.History)-1]
	args := []any{
		"payment", p.ID, "was", entry.Before.Status, "status", entry.After.Status, "layer", entry.Source.Layer,
		"by", entry.Source.Actor.Type, "by_id", entry.Source.Actor.ID, "version", p.Version,
	}
	if entry.Source.Request != "" {
		args = append(args, "request_id", entry.Source.Request)
	}
	if entry.Source.Layer != payment.LayerAPI {
		args = append(args, "reason", entry.Source.Reason)
	}
	s.log.InfoContext(ctx, "payment changed", args...)
}

// adjust is the write that changes nothing about a payment, only our bookkeeping of
// it: no history entry, no event, and updated_at stays. fn says whether there is
// anything to write; it may run more than once.
func (s *Service) adjust(ctx context.Context, id string, fn func(*payment.Payment) bool) error {
	return s.adjustFrom(ctx, id, nil, fn)
}

// adjustFrom is adjust of a payment that was read before, nil: it was not. Should it have
// changed since, it is read again. fn may set fields of the payment, and must not change
// what they point to.
func (s *Service) adjustFrom(ctx context.Context, id string, read *payment.Payment, fn func(*payment.Payment) bool) error {
	for range maxRaces {
		var p *payment.Payment
		var err error
		if read != nil {
			known := *read // stays as it is, should this write fail
			p, read = &known, nil
			if !fn(p) {
				continue // by now there may be something to write
			}
		} else if p, err = s.load(ctx, id); err != nil || !fn(p) {
			return err
		}
		p.Version++
		err = s.opts.Payments.Replace(ctx, p)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return storeError(err)
		}
	}
	return storeError(fmt.Errorf("%w: %s changed %d times while it was being adjusted", ErrUnavailable, id, maxRaces))
}

// finish completes a changed payment for storing: its version, the bodies of new
// events, the next sync, and history that has grown out of the document.
func (s *Service) finish(ctx context.Context, p *payment.Payment, version int64, now time.Time) (*payment.Payment, error) {
	p.Version = version
	if _, off := s.opts.Disputes.(noDisputes); off {
		p.Cases = nil
	}
	for i := range p.Outbox {
		if p.Outbox[i].Body != nil {
			continue
		}
		body, err := s.opts.Render(p, p.Outbox[i])
		if err != nil {
			return nil, fmt.Errorf("gateway: render event %s: %w", p.Outbox[i].Type, err)
		}
		p.Outbox[i].Body = body
	}
	p.NextSyncAt = p.NextSync(s.schedule(p), now)
	if extra := len(p.History) - payment.MaxHistory; extra > 0 {
		if err := s.opts.Payments.SpillHistory(ctx, p.ID, p.History[:extra]); err != nil {
			return nil, storeError(err)
		}
		p.History = p.History[extra:]
	}
	return p, nil
}

// relayAlerts turns the alerts that travel inside the payment into records of
// their own. Should that fail they stay inside, and a worker tries again.
func (s *Service) relayAlerts(ctx context.Context, p *payment.Payment) *payment.Payment {
	if len(p.Alerts) == 0 {
		return p
	}
	for _, a := range p.Alerts {
		record := AlertRecord{
			ID: a.Fingerprint, App: p.App, Mode: p.Mode, Payment: p.ID, Dispute: a.Dispute,
			Kind: a.Kind, Severity: a.Severity, State: "open", Message: a.Message, Count: 1, FirstSeen: a.At, LastSeen: a.At,
		}
		if winner, ok := p.Facts.Winner(); ok {
			record.Account = winner.Account
		}
		if err := s.opts.Notify.Raise(ctx, record); err != nil {
			s.log.ErrorContext(ctx, "alert could not be stored, will be tried again", "payment", p.ID, "kind", a.Kind, "error", err)
			return p
		}
		s.log.WarnContext(ctx, "alert raised", "payment", p.ID, "kind", a.Kind, "severity", a.Severity)
	}
	stored := map[string]bool{}
	for _, a := range p.Alerts {
		stored[a.Fingerprint] = true
	}
	src := payment.Source{Layer: payment.LayerAPI, Actor: payment.Actor{Type: "worker", ID: "alerts"}}
	relayed, err := s.save(ctx, p, src, func(c *payment.Payment) error {
		var left []payment.Alert
		for _, a := range c.Alerts {
			if !stored[a.Fingerprint] {
				left = append(left, a)
			}
		}
		c.Alerts = left
		return nil
	})
	if err != nil { // stored twice is harmless: the record's id is the incident
		s.log.InfoContext(ctx, "relayed alerts stay in the payment for now", "payment", p.ID, "error", err)
		return p
	}
	return relayed
}

// load reads a payment and turns a store error into one for the caller.
func (s *Service) load(ctx context.Context, id string) (*payment.Payment, error) {
	p, err := s.opts.Payments.Get(ctx, id)
	if err != nil {
		return nil, storeError(err)
	}
	return p, nil
}

// owned reads a payment for a caller: somebody else's is not found.
func (s *Service) owned(ctx context.Context, c Caller, id string) (*payment.Payment, error) {
	p, err := s.load(ctx, id)
	if err != nil {
		return nil, err
	}
	if !c.Operator && (p.App != c.App || p.Mode != c.Mode) {
		return nil, notFound()
	}
	return p, nil
}

// linkLife is how long after a payment's deadline its customer's links still open: no provider sends anybody back that
// late (a Stripe session lives 24 hours, an approved PayPal order a few days), and a receipt has been seen by then.
const linkLife = 30 * 24 * time.Hour

// forCustomer reads a payment for whoever holds its token, as long as that counts.
func (s *Service) forCustomer(ctx context.Context, id, token string) (*payment.Payment, error) {
	p, err := s.load(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(token) != len(p.Token) || subtle.ConstantTimeCompare([]byte(token), []byte(p.Token)) != 1 || s.now().After(p.ExpiresAt.Add(linkLife)) {
		return nil, notFound()
	}
	return p, nil
}

func notFound() error {
	return payment.NewError(payment.CodeNotFound, "There is no such object, or it is not yours.")
}

// storeError makes an error for the caller from a store's error.
func storeError(err error) error {
	var known *payment.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, ErrNotFound):
		return notFound()
	case errors.Is(err, ErrBadCursor):
		e := payment.NewError(payment.CodeMalformed, "The cursor is not one we gave out for this list.")
		e.Fields = []payment.FieldError{{Pointer: "?after", Rule: "must be the value of next in an earlier answer"}}
		return e
	}
	e := payment.NewError(payment.CodeStoreUnavailable, "The record could not be read or written now. Repeat the request with the same key.")
	e.Cause = err
	return e
}
