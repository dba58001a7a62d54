package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// GuardOptions are the limits of one account. Zero values take the defaults.
type GuardOptions struct {
	ReadTimeout  time.Duration // default 8 s
	WriteTimeout time.Duration // default 15 s
	PerSecond    int           // HTTP calls a second for live traffic, default 20; sweeps take a fifth of it
	// Observe hears how each call ended: "ok", GivenUp, Besides, or the class of its error.
	Observe func(op string, class Class, took time.Duration)
	Clock   func() time.Time // measures calls, and the rests that a provider asks for; nil: neither
	// Share is how much of PerSecond is this process's, in millionths; the others on
	// the same store have the rest. It is asked before every call, so it must cost
	// nothing. nil: all of it.
	Share func() int64
	// Stopping ends when the process may not wait for providers any more: calls under
	// way are cut, their outcome is unknown, and no other is sent. nil: never.
	Stopping context.Context
	// Unlimited leaves out the rate budget and the breaker, which run on real
	// time, for a simulator that owns time.
	Unlimited bool
}

// Account is one provider account behind its guard: every call gets a time
// limit, a place in the rate budget and a breaker, and ends in an *Error or nil.
// It is what the rest of the program holds; adapters can't forget any of it.
type Account struct {
	inner   Provider
	info    Info
	opts    GuardOptions
	breaker *gobreaker.CircuitBreaker[struct{}]
	budget  *budget
}

// Guard wraps an adapter.
func Guard(p Provider, opts GuardOptions) *Account {
	if opts.ReadTimeout == 0 {
		opts.ReadTimeout = 8 * time.Second
	}
	if opts.WriteTimeout == 0 {
		opts.WriteTimeout = 15 * time.Second
	}
	if opts.PerSecond == 0 {
		opts.PerSecond = 20
	}
	if opts.Observe == nil {
		opts.Observe = func(string, Class, time.Duration) {}
	}
	clock := opts.Clock
	if opts.Clock == nil {
		opts.Clock = func() time.Time { return time.Time{} }
	}
	if opts.Share == nil {
		opts.Share = func() int64 { return Whole }
	}
	if opts.Stopping == nil {
		opts.Stopping = context.Background()
	}
	return &Account{
		inner: p, info: p.Info(), opts: opts, budget: newBudget(opts.PerSecond, p.Info().Calls, opts.Share, clock),
		breaker: gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
			Name: p.Info().Account, MaxRequests: 2, Timeout: 10 * time.Second,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 20 },
			// A decline is the provider working well, and so is a root that was read without
			// what stands beside it; only an unclear answer trips.
			IsSuccessful: func(err error) bool { return err == nil || Beside(err) || ClassOf(err) != Unknown },
			// A caller that went away says nothing about the provider: customers who close
			// their browsers must not shut an account for everybody. Nor does a service
			// beside the money's own: no capture may wait because disputes can't be read.
			IsExcluded: func(err error) bool { return errors.Is(err, errCallerGone) || aside(err) && !Beside(err) },
		}),
	}
}

// Info describes the account, as its adapter did when it was guarded. It is shared:
// nobody may change what it refers to.
func (a *Account) Info() Info { return a.info }

// GivenUp is what GuardOptions.Observe hears of a call that failed after its caller had
// gone or the process was told to stop: nobody knows what the provider would have said.
const GivenUp = "given_up"

// Besides is what it hears of a call that failed at a service beside the money's own, or at one busy object.
const Besides = "aside"

// errCallerGone tells the breaker not to count a call.
var errCallerGone = errors.New("providers: the caller did not wait for the answer")

// call runs one provider call under the guard. A call that never left the
// process is certainly not done.
func (a *Account) call(caller context.Context, op string, timeout time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(caller, timeout)
	defer cancel()
	defer context.AfterFunc(a.opts.Stopping, cancel)() //nolint:contextcheck // the process's own end cuts a call besides its caller's
	start := a.opts.Clock()
	gone := func() bool { return caller.Err() != nil || a.opts.Stopping.Err() != nil }
	err := a.limited(ctx, op, gone, func() error { return a.classified(op, fn(ctx)) })
	class := Class("ok")
	switch {
	case err != nil && gone():
		class = GivenUp
	case aside(err):
		class = Besides
	case err != nil:
		class = ClassOf(err)
	}
	a.opts.Observe(op, class, a.opts.Clock().Sub(start))
	return err
}

// limited runs a call within the rate budget and behind the breaker, which does not
// count a call that failed when its caller was gone.
func (a *Account) limited(ctx context.Context, op string, gone func() bool, fn func() error) error {
	if a.opts.Stopping.Err() != nil {
		return a.notSent(op, "stopping", a.opts.Stopping.Err())
	}
	if a.opts.Unlimited {
		return fn()
	}
	if err := a.place(ctx, op); err != nil {
		return err
	}
	var answer error
	_, err := a.breaker.Execute(func() (struct{}, error) {
		if answer = fn(); answer != nil && gone() {
			return struct{}{}, errCallerGone
		}
		return struct{}{}, answer
	})
	if errors.Is(err, errCallerGone) {
		return answer
	}
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return a.notSent(op, "breaker_open", err)
	}
	return err
}

// place waits for a place in the rate budget, and for the end of a rest that the
// provider asked for.
func (a *Account) place(ctx context.Context, op string) error {
	if left, err := a.budget.rested(ctx); err != nil {
		e := a.notSent(op, "rate_limited", err)
		e.RetryAfter = max(left, time.Second)
		return e
	}
	if err := a.budget.wait(ctx, a.budget.live, op); err != nil {
		return a.notSent(op, "rate_budget", err)
	}
	return nil
}

// classified makes sure that what leaves the guard is an *Error.
func (a *Account) classified(op string, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusTooManyRequests && !e.Aside {
		a.budget.rest(e.RetryAfter)
	}
	if err == nil || e != nil {
		return err
	}
	return &Error{Class: Unknown, Provider: a.Info().Provider, Op: op, Cause: err}
}

func (a *Account) notSent(op, code string, cause error) *Error {
	return &Error{Class: NotDone, Provider: a.Info().Provider, Op: op, Code: code, RetryAfter: time.Second, Cause: cause}
}

func guarded[T any](ctx context.Context, a *Account, op string, timeout time.Duration, fn func(context.Context) (T, error)) (T, error) {
	var out T
	err := a.call(ctx, op, timeout, func(ctx context.Context) error {
		var err error
		out, err = fn(ctx)
		return err
	})
	return out, err
}

// CreateCheckout opens a checkout.
func (a *Account) CreateCheckout(ctx context.Context, req CheckoutRequest, key string) (Result, error) {
	return guarded(ctx, a, "create_checkout", a.opts.WriteTimeout, func(ctx context.Context) (Result, error) {
		return a.inner.CreateCheckout(ctx, req, key)
	})
}

// Fetch reads an attempt whole.
func (a *Account) Fetch(ctx context.Context, at Attempt) (payment.Observation, error) {
	return guarded(ctx, a, "fetch", a.opts.ReadTimeout, func(ctx context.Context) (payment.Observation, error) {
		return a.inner.Fetch(ctx, at)
	})
}

// CloseCheckout makes an attempt impossible to pay, or finds that it was paid.
func (a *Account) CloseCheckout(ctx context.Context, at Attempt, key string) (Result, error) {
	return guarded(ctx, a, "close_checkout", a.opts.WriteTimeout, func(ctx context.Context) (Result, error) {
		return a.inner.CloseCheckout(ctx, at, key)
	})
}

// Capture takes money.
func (a *Account) Capture(ctx context.Context, req CaptureRequest, key string) (Result, error) {
	return guarded(ctx, a, "capture", a.opts.WriteTimeout, func(ctx context.Context) (Result, error) {
		return a.inner.Capture(ctx, req, key)
	})
}

// Void releases an authorization.
func (a *Account) Void(ctx context.Context, req CaptureRequest, key string) (Result, error) {
	return guarded(ctx, a, "void", a.opts.WriteTimeout, func(ctx context.Context) (Result, error) {
		return a.inner.Void(ctx, req, key)
	})
}

// Refund gives money back.
func (a *Account) Refund(ctx context.Context, req RefundRequest, key string) (Result, error) {
	return guarded(ctx, a, "refund", a.opts.WriteTimeout, func(ctx context.Context) (Result, error) {
		return a.inner.Refund(ctx, req, key)
	})
}

// Authorize holds the money of an approved checkout. Providers that need no
// such call answer Refused.
func (a *Account) Authorize(ctx context.Context, req CaptureRequest, key string) (Result, error) {
	authorizer, ok := a.inner.(Authorizer)
	if !ok {
		return Result{}, &Error{Class: Refused, Provider: a.Info().Provider, Op: "authorize", Code: "unsupported"}
	}
	return guarded(ctx, a, "authorize", a.opts.WriteTimeout, func(ctx context.Context) (Result, error) {
		return authorizer.Authorize(ctx, req, key)
	})
}

// FindCheckout looks a checkout up by our reference. can is false where the
// provider has no way to do that.
func (a *Account) FindCheckout(ctx context.Context, req CheckoutRequest, opened time.Time) (res Result, found, can bool, err error) {
	finder, ok := a.inner.(CheckoutFinder)
	if !ok {
		return Result{}, false, false, nil
	}
	err = a.call(ctx, "find_checkout", a.opts.ReadTimeout, func(ctx context.Context) error {
		var err error
		res, found, err = finder.FindCheckout(ctx, req, opened)
		return err
	})
	return res, found, true, err
}

// Verifier is the adapter's webhook check, and whether it has one. It makes no
// call that costs budget.
func (a *Account) Verifier() (Verifier, bool) {
	v, ok := a.inner.(Verifier)
	return v, ok
}

// Trace reads an object we can't place.
func (a *Account) Trace(ctx context.Context, object Ref) (Hint, error) {
	tracer, ok := a.inner.(Tracer)
	if !ok {
		return Hint{}, &Error{Class: NotFound, Provider: a.Info().Provider, Op: "trace", Code: "unsupported"}
	}
	return guarded(ctx, a, "trace", a.opts.ReadTimeout, func(ctx context.Context) (Hint, error) {
		return tracer.Trace(ctx, object)
	})
}

// Lists names the account's lists for sweeps; none where it can't list.
func (a *Account) Lists() []string {
	if s, ok := a.inner.(Sweeper); ok {
		return s.Lists()
	}
	return nil
}

// Sweep reads one page of a list, within a fifth of the rate budget.
func (a *Account) Sweep(ctx context.Context, list string, from, to time.Time, cursor string) (SweepPage, error) {
	sweeper, ok := a.inner.(Sweeper)
	if !ok {
		return SweepPage{}, &Error{Class: Refused, Provider: a.Info().Provider, Op: "sweep", Code: "unsupported"}
	}
	if !a.opts.Unlimited {
		if err := a.budget.wait(ctx, a.budget.background, "sweep"); err != nil {
			return SweepPage{}, a.notSent("sweep", "rate_budget", err)
		}
	}
	return guarded(ctx, a, "sweep", 2*a.opts.ReadTimeout, func(ctx context.Context) (SweepPage, error) {
		return sweeper.Sweep(ctx, list, from, to, cursor)
	})
}

// Pace waits until the background may read one payment: sweeps and the reads that
// follow from them share a fifth of the rate budget.
func (a *Account) Pace(ctx context.Context) error {
	if a.opts.Unlimited {
		return ctx.Err()
	}
	return a.budget.wait(ctx, a.budget.background, "fetch")
}

// PerSecondMilli is how much of the account's budget is this process's now, in
// thousandths of a call a second.
func (a *Account) PerSecondMilli() int64 { return a.budget.perSecondMilli() }

// Registry holds the configured accounts by name.
type Registry struct {
	accounts []*Account
}

// NewRegistry collects accounts. Two of one name are an error.
func NewRegistry(accounts ...*Account) (*Registry, error) {
	r := &Registry{}
	for _, a := range accounts {
		if _, ok := r.Account(a.Info().Account); ok {
			return nil, fmt.Errorf("providers: account %q is configured twice", a.Info().Account)
		}
		r.accounts = append(r.accounts, a)
	}
	return r, nil
}

// Account finds an account by its configured name.
func (r *Registry) Account(name string) (*Account, bool) {
	for _, a := range r.accounts {
		if a.Info().Account == name {
			return a, true
		}
	}
	return nil, false
}

// Accounts are all accounts in configured order.
func (r *Registry) Accounts() []*Account { return slices.Clone(r.accounts) }

// For lists the accounts of one mode that can take what is wanted, in configured
// order; provider narrows it down where it is not empty.
func (r *Registry) For(mode payment.Mode, provider string, w Want) []*Account {
	var out []*Account
	for _, a := range r.accounts {
		info := a.Info()
		if info.Mode == mode && (provider == "" || info.Provider == provider) && info.Takes(w) == nil {
			out = append(out, a)
		}
	}
	return out
}

// Names lists the providers configured for a mode, for messages.
func (r *Registry) Names(mode payment.Mode) string {
	var names []string
	for _, a := range r.accounts {
		if info := a.Info(); info.Mode == mode && !slices.Contains(names, info.Provider) {
			names = append(names, info.Provider)
		}
	}
	return strings.Join(names, ", ")
}
