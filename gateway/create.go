package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Create makes a payment, and where a provider is given its checkout too: two
// writes around one provider call. The same request again gives the same
// payment; a crash anywhere in between is finished by the repetition or by a
// worker.
func (s *Service) Create(ctx context.Context, r Request, in CreateInput) (Answer, error) {
	if r.Caller.Operator {
		return Answer{}, payment.NewError(payment.CodeForbidden, "A payment belongs to an app; make it with a key of that app.")
	}
	app, ok := s.app(r.Caller.App, r.Caller.Mode)
	if !ok {
		return Answer{}, payment.NewError(payment.CodeForbidden, "The app %q is not configured in %s mode.", r.Caller.App, r.Caller.Mode)
	}
	id := r.id("pay")
	// The insert itself says whether the key is new: asking first would cost every creation a read, and prove nothing
	// by the time of the insert. What can't be inserted may still be a repetition, whatever its words come to today.
	created, opID, owner, err := s.prepare(ctx, id, r, in, app)
	if err != nil {
		known, getErr := s.opts.Payments.Get(ctx, id)
		switch {
		case getErr == nil:
			return s.recreate(ctx, r, in, app, known)
		case errors.Is(getErr, ErrNotFound):
			return Answer{}, err
		}
		return Answer{}, storeError(getErr)
	}
	err = s.opts.Payments.Insert(ctx, created)
	if errors.Is(err, ErrExists) { // a repetition, or somebody with the same key was faster
		known, err := s.load(ctx, id)
		if err != nil {
			return Answer{}, err
		}
		return s.recreate(ctx, r, in, app, known)
	}
	if err != nil {
		return Answer{}, storeError(err)
	}
	created = s.relayAlerts(ctx, created)
	if opID == "" {
		return Answer{Payment: created}, nil
	}
	return s.created(ctx, created, opID, owner)
}

// prepare is a new payment as it is first written; nothing is written yet.
func (s *Service) prepare(ctx context.Context, id string, r Request, in CreateInput, app App) (p *payment.Payment, opID, owner string, err error) {
	draft, account, err := s.draft(id, r, in, app)
	if err != nil {
		return nil, "", "", err
	}
	if err := s.refuseBlockedPayer(ctx, draft); err != nil {
		return nil, "", "", err
	}
	return s.begin(ctx, draft, account, r, app)
}

// draft is the payment as asked for, checked but with nothing begun, and the
// account that takes it; nil where the customer chooses.
func (s *Service) draft(id string, r Request, in CreateInput, app App) (*payment.Payment, *providers.Account, error) {
	terms, req, err := in.parse(app)
	if err != nil {
		return nil, nil, err
	}
	account, err := s.route(r.Caller.Mode, req, terms)
	if err != nil {
		return nil, nil, err
	}
	p := payment.New(id, app.Name, app.Mode, terms, req, s.opts.Token(), s.now())
	p.Fingerprint = r.Fingerprint
	return p, account, nil
}

// route chooses the account of a request: the one named, the first that can
// take the amount at the provider named, or nil where the customer chooses. An
// account that is paused is passed over; where no other is left, nothing is begun.
func (s *Service) route(mode payment.Mode, req payment.Request, terms payment.Terms) (*providers.Account, error) {
	if req.Account != "" {
		a, ok := s.opts.Providers.Account(req.Account)
		if !ok || a.Info().Mode != mode || (req.Provider != "" && a.Info().Provider != req.Provider) {
			return nil, payment.Invalid("/account", "must name a configured %s account of the provider asked for", mode)
		}
		if err := s.takes(a, want(req, terms)); err != nil {
			return nil, err
		}
		if s.paused(a) {
			return nil, errPaused()
		}
		return a, nil
	}
	able := s.opts.Providers.For(mode, req.Provider, want(req, terms))
	accounts := s.unpaused(able)
	if len(able) > 0 && len(accounts) == 0 {
		return nil, errPaused()
	}
	if len(accounts) > 0 {
		if req.Provider == "" {
			return nil, nil //nolint:nilnil // no account and no error: the customer chooses
		}
		return accounts[0], nil
	}
	for _, a := range s.opts.Providers.Accounts() {
		if info := a.Info(); info.Mode == mode && (req.Provider == "" || info.Provider == req.Provider) {
			return nil, s.takes(a, want(req, terms))
		}
	}
	if req.Provider != "" {
		return nil, payment.Invalid("/provider", "must be one of the configured providers: %s", s.opts.Providers.Names(mode))
	}
	return nil, payment.NewError(payment.CodeUnsupported, "No provider account is configured in %s mode.", mode)
}

// want is what a payment asks of an account.
func want(req payment.Request, terms payment.Terms) providers.Want {
	return providers.Want{Amount: terms.Amount, AutomaticTax: req.AutomaticTax}
}

// takes says whether an account can open such a checkout; the error says which
// provider can.
func (s *Service) takes(a *providers.Account, w providers.Want) error {
	err := a.Info().Takes(w)
	var e *payment.Error
	if !errors.As(err, &e) {
		return err
	}
	able := "none of the configured accounts"
	if others := s.opts.Providers.For(a.Info().Mode, "", w); len(others) > 0 {
		able = others[0].Info().Provider
	}
	e.Message += "; it is supported by: " + able + "."
	return e
}

// begin completes a draft for its first write: where an account is known, the
// attempt and its started operation are in it, so that creation makes exactly
// two writes.
func (s *Service) begin(ctx context.Context, draft *payment.Payment, account *providers.Account, r Request, app App) (p *payment.Payment, opID, owner string, err error) {
	src := payment.Source{Layer: payment.LayerAPI, Actor: r.Caller.Actor(), Reason: "created", Request: RequestID(ctx)}
	now := s.now()
	owner = s.opts.Token()
	p, err = draft.Change(src, now, func(p *payment.Payment) error {
		opID, err = s.openRouted(p, account, app, owner, r.command(s, ""))
		return err
	})
	if err != nil {
		return nil, "", "", err
	}
	if p, err = s.finish(ctx, p, 1, now); err != nil {
		return nil, "", "", err
	}
	return p, opID, owner, nil
}

// openRouted opens a checkout at the account that a request was routed to. Where
// the customer chooses there is none, and the payment is all that was asked for.
func (s *Service) openRouted(p *payment.Payment, account *providers.Account, app App, owner string, c payment.Command) (string, error) {
	if account == nil {
		p.Answered = true
		return "", nil
	}
	return s.open(p, account, app, owner, c)
}

// open adds the next attempt at an account with its creating operation, the whole
// provider request in it, and starts that operation for owner.
func (s *Service) open(p *payment.Payment, account *providers.Account, app App, owner string, c payment.Command) (string, error) {
	info := account.Info()
	if err := p.OpenAttempt(info.Provider, info.Account, c); err != nil {
		return "", err
	}
	op := &p.Operations[len(p.Operations)-1]
	params, err := json.Marshal(s.checkoutRequest(p, op.N, info, app))
	if err != nil {
		return "", fmt.Errorf("gateway: checkout request: %w", err)
	}
	op.Params = params
	p.Start(op.ID, owner, s.opts.Lease, payment.PlanCall, c.Now)
	return op.ID, nil
}

// checkoutRequest is what the provider is asked to open.
func (s *Service) checkoutRequest(p *payment.Payment, n int, info providers.Info, app App) providers.CheckoutRequest {
	brand := s.opts.BrandName
	if brand == "" {
		brand = app.Name
	}
	now := s.now()
	// A checkout may outlive the payment's deadline (providers have a floor);
	// a worker closes it by call when the time comes.
	expires := now.Add(31 * time.Minute)
	if p.ExpiresAt.After(expires) {
		expires = p.ExpiresAt
	}
	if limit := now.Add(info.MaxCheckout - time.Minute); info.MaxCheckout > 0 && expires.After(limit) {
		expires = limit
	}
	req := providers.CheckoutRequest{
		PaymentID: p.ID, N: n, Amount: p.Facts.Terms.Amount, Manual: p.Facts.Terms.Manual,
		ReturnURL: s.returnURL(p, n, "success"), CancelURL: s.returnURL(p, n, "cancel"),
		ExpiresAt: expires.UTC().Truncate(time.Second), Reference: p.Request.Reference, Description: p.Request.Description, Locale: p.Request.Locale,
		StatementDescriptor: p.Request.StatementDescriptor, BrandName: brand,
		CustomerRef: p.Request.Customer.Ref, CustomerEmail: p.Request.Customer.KnownEmail(), Metadata: p.Request.Metadata,
		AllowPromotionCodes: p.Request.AllowPromotionCodes, AutomaticTax: p.Request.AutomaticTax, Shipping: p.Request.Shipping,
	}
	for _, item := range p.Request.LineItems {
		req.LineItems = append(req.LineItems, providers.LineItem(item))
	}
	return req
}

// returnURL is where a provider sends the customer back to.
func (s *Service) returnURL(p *payment.Payment, n int, outcome string) string {
	q := url.Values{"t": {p.Token}, "outcome": {outcome}, "attempt": {strconv.Itoa(n)}}
	return s.opts.PublicURL + "/v1/return/" + p.ID + "?" + q.Encode()
}

// created runs the creating operation and says how it went.
func (s *Service) created(ctx context.Context, p *payment.Payment, opID, owner string) (Answer, error) {
	p, runErr := s.execute(ctx, p, run{op: opID, owner: owner, awaited: true}, orderedBy(p, opID))
	if p == nil {
		return Answer{}, runErr
	}
	op := p.Operation(opID)
	switch {
	case op == nil:
		return Answer{}, fmt.Errorf("gateway: operation %s vanished", opID)
	case op.State == payment.OpDone:
		return Answer{Payment: p}, nil
	case op.State == payment.OpUnknown:
		return Answer{Payment: p, Unknown: true}, nil
	case runErr != nil:
		return Answer{}, providerError(runErr, p)
	default:
		return Answer{}, inProgress(p)
	}
}

// recreate answers a create request whose payment exists already.
func (s *Service) recreate(ctx context.Context, r Request, in CreateInput, app App, p *payment.Payment) (Answer, error) {
	if !p.Answered && p.Unfinished(0) == nil {
		return s.retryCreate(ctx, r, in, app, p)
	}
	if p.Fingerprint != r.Fingerprint {
		return Answer{}, reused()
	}
	op := creation(p)
	switch {
	case op == nil:
		return Answer{Payment: p, Replayed: true}, nil
	case op.State == payment.OpFailed && op.Code == payment.CodeDeclined:
		return Answer{Replayed: true}, declined(p, *op)
	case op.State.Settled():
		return Answer{Payment: p, Replayed: true}, nil
	case op.Leased(s.now()):
		return Answer{}, inProgress(p)
	}
	driven, err := s.drive(ctx, p, op.ID, orderedBy(p, op.ID), true)
	if err != nil && driven == nil {
		return Answer{}, err
	}
	after := driven.Operation(op.ID)
	switch {
	case after == nil:
		return Answer{}, fmt.Errorf("gateway: operation %s vanished", op.ID)
	case after.State == payment.OpFailed && after.Code == payment.CodeDeclined:
		return Answer{Replayed: true}, declined(driven, *after)
	case after.State == payment.OpFailed && !driven.Answered:
		return Answer{}, providerError(err, driven)
	case !after.State.Settled():
		return Answer{Payment: driven, Unknown: true, Replayed: true}, nil
	}
	return Answer{Payment: driven, Replayed: true}, nil
}

// creation is the newest operation by which the creating request itself opened a
// checkout; nil where the customer chooses. What a customer chose later has an
// outcome of its own.
func creation(p *payment.Payment) *payment.Operation {
	for i := len(p.Operations) - 1; i >= 0; i-- {
		if op := &p.Operations[i]; op.Kind == payment.OpCreate && op.By.Type != customer.Type {
			return op
		}
	}
	return nil
}

// retryCreate runs a creation again whose checkout was certainly not made. No
// 2xx was ever given for it, so the request may have been corrected.
func (s *Service) retryCreate(ctx context.Context, r Request, in CreateInput, app App, p *payment.Payment) (Answer, error) {
	draft, account, err := s.draft(p.ID, r, in, app)
	if err != nil {
		return Answer{}, err
	}
	if err := s.refuseBlocked(ctx, draft); err != nil {
		return Answer{}, err
	}
	if rests(p, s.now()) {
		out := payment.NewError(payment.CodeProviderUnavailable, "The provider could not be reached several times. Nothing was done; repeat the request with the same key, not so soon.")
		out.PaymentID = p.ID
		return Answer{}, out
	}
	var opID string
	owner := s.opts.Token()
	src := payment.Source{Layer: payment.LayerAPI, Actor: r.Caller.Actor(), Reason: "creation repeated"}
	next, err := s.save(ctx, p, src, func(c *payment.Payment) error {
		c.Request, c.Facts.Terms, c.Fingerprint, c.ExpiresAt = draft.Request, draft.Facts.Terms, draft.Fingerprint, draft.ExpiresAt
		opID, err = s.openRouted(c, account, app, owner, r.command(s, ""))
		return err
	})
	if errors.Is(err, ErrConflict) {
		return Answer{}, inProgress(p) // the other repetition is running it
	}
	if err != nil {
		return Answer{}, err
	}
	if opID == "" {
		return Answer{Payment: next}, nil
	}
	return s.created(ctx, next, opID, owner)
}

// A creation that certainly reached nobody may be repeated. Each repetition opens an
// attempt, and a payment has payment.MaxAttempts of them: without a rest, a caller who
// repeats every few seconds would have used them up before a provider's outage ends.
const (
	freeRepetitions = 10               // before the first rest
	longestRest     = 10 * time.Minute // so that the attempts last for hours, and the end of an outage is noticed soon
)

// rests says whether it is too soon to try this creation again. A refusal that the
// caller can correct never rests.
func rests(p *payment.Payment, now time.Time) bool {
	op, tried := creation(p), len(p.Facts.Opened)
	if op == nil || op.State != payment.OpFailed || op.Code != payment.CodeProviderUnavailable || tried < freeRepetitions {
		return false
	}
	return now.Before(op.DoneAt.Add(min(payment.Backoff(tried-freeRepetitions+1), longestRest)))
}
