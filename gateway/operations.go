package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Operations is the only place that tells a provider to do something. The
// request path runs one operation through it and waits; its worker runs the
// rest. Everything is written down before it is told.
type Operations struct {
	s     *Service
	batch int
}

// Operations gives the worker over this service. batch bounds one Step, 0
// means 20 payments.
func (s *Service) Operations(batch int) *Operations {
	if batch <= 0 {
		batch = 20
	}
	return &Operations{s: s, batch: batch}
}

var workerSource = payment.Source{Layer: payment.LayerAPI, Actor: payment.Actor{Type: "worker", ID: "operations"}}

// maxLook bounds how far one Step looks past payments that it can't work on.
const maxLook = 320

// Step does the work that is due now: unsettled operations, lapsed checkouts,
// alerts to store. It returns how many payments it worked on; one that fails
// never stops the others, nor do up to maxLook at the head of the queue (more, and the
// watch tells that the worker fails). next is when to look again at the latest.
func (o *Operations) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := o.s.now()
	next = now.Add(time.Second)
	var problems []error
	tried := map[string]bool{}
	for limit := o.batch; ; limit *= 2 {
		ids, err := o.s.opts.Payments.WorkDue(ctx, now, limit)
		if err != nil {
			return did, next, errors.Join(append(problems, storeError(err))...)
		}
		for _, id := range ids {
			if tried[id] {
				continue
			}
			tried[id] = true
			if err := o.work(ctx, id); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", id, err))
				continue
			}
			did++
		}
		if full := len(ids) == limit; !full || did > 0 || limit >= maxLook {
			if full && did > 0 {
				next = now
			}
			return did, next, errors.Join(problems...)
		}
	}
}

// work brings one payment up to now and runs its due operations, each once.
func (o *Operations) work(ctx context.Context, id string) error {
	p, err := o.s.change(ctx, id, workerSource, func(*payment.Payment) error { return nil }) // deadlines
	if err != nil {
		return err
	}
	p = o.s.relayCases(ctx, o.s.relayAlerts(ctx, p))
	_, err = o.s.runDue(ctx, p, workerSource)
	return err
}

// maxDue bounds how many operations one visit runs: each may make another due.
const maxDue = 8

// runDue runs what is due on a payment now, what becomes due by that included.
// A provider's refusal is an outcome, not an error. What the operations change is
// credited to src, the layer that made them run now.
func (s *Service) runDue(ctx context.Context, p *payment.Payment, src payment.Source) (*payment.Payment, error) {
	tried := map[string]bool{}
	for range maxDue {
		op := nextDue(p, s.now(), tried)
		if op == nil {
			return p, nil
		}
		tried[op.ID] = true
		driven, err := s.drive(ctx, p, op.ID, src, false)
		if driven == nil {
			return p, err
		}
		if err != nil {
			s.log.InfoContext(ctx, "operation not done", "payment", p.ID, "operation", op.ID, "kind", op.Kind, "error", err)
		}
		p = driven
	}
	return p, nil
}

func nextDue(p *payment.Payment, now time.Time, tried map[string]bool) *payment.Operation {
	for i := range p.Operations {
		op := &p.Operations[i]
		if !op.State.Settled() && !tried[op.ID] && !op.Leased(now) && !now.Before(op.NextAt) {
			return op
		}
	}
	return nil
}

// drive leases one operation of a payment, as the caller read it, and executes it. It
// returns the payment afterwards; nil with an error if nothing could be stored. An
// operation that somebody else holds or that is settled already is left alone, without
// an error. awaited says that whoever ordered it waits for the answer.
func (s *Service) drive(ctx context.Context, p *payment.Payment, opID string, src payment.Source, awaited bool) (*payment.Payment, error) {
	owner := s.opts.Token() // one for all tries: a start that was written although nobody said so is our own
	for range maxRaces {
		after, may, err := s.gate(ctx, p, opID)
		if err != nil || may == mustNotRun {
			return after, err
		}
		if after != nil {
			p = after
		}
		// The very payment that passed the gate is the one that is started.
		next, started, err := s.start(ctx, p, opID, owner, may)
		if errors.Is(err, ErrConflict) {
			if p, err = s.load(ctx, p.ID); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if !started {
			return next, nil
		}
		next, err = s.execute(ctx, next, run{opID, owner, awaited}, src)
		if next != nil {
			next = s.afterLook(ctx, next, opID)
		}
		return next, err
	}
	return nil, tooManyRaces(p.ID)
}

// afterLook lets the gate end what is not to be sent any more, right after the second look that
// found nothing of it. Looks that stand in a record already don't count: the record may be a backup
// that was put back. Where the gate can't be asked, the next look ends it.
func (s *Service) afterLook(ctx context.Context, p *payment.Payment, opID string) *payment.Payment {
	op := p.Operation(opID)
	if op == nil || op.State.Settled() || !op.Barred && !op.Withdrawn || !op.Unmoved(s.now()) {
		return p
	}
	after, _, err := s.gate(ctx, p, opID)
	if err != nil {
		s.log.WarnContext(ctx, "operation not ended yet, though looked for twice", "payment", p.ID, "operation", opID, "error", err)
	}
	if after != nil {
		return after
	}
	return p
}

// run is one try at an operation.
type run struct {
	op, owner string
	awaited   bool // whoever ordered it waits for the answer
}

// start leases one operation for owner. What our own record shows as done is not sent:
// it ends. ErrConflict means that the payment was changed since it was read.
func (s *Service) start(ctx context.Context, p *payment.Payment, opID, owner string, may verdict) (next *payment.Payment, started bool, err error) {
	next, err = s.save(ctx, p, workerSource, func(p *payment.Payment) error {
		op := p.Operation(opID)
		if op == nil {
			return nil
		}
		if s.endShown(p, opID) {
			return nil
		}
		now := s.now()
		why := ""
		switch {
		case s.lapsedPolicy(p, *op):
			why = policyChanged
		case p.Overtaken(*op):
			why = "overtaken"
		}
		if why != "" {
			p.Settle(opID, payment.Outcome{State: payment.OpFailed, Code: payment.CodeConflict, Failure: payment.Failure{Code: why}}, nil, now)
			return nil
		}
		tried := *op
		tried.Barred = may == mayBeLookedFor
		if started = p.Start(opID, owner, s.opts.Lease, s.plan(p, tried, now), now); started {
			op.Barred = tried.Barred
		}
		return nil
	})
	return next, started, err
}

// endShown ends an operation as done that our record shows as done.
func (s *Service) endShown(p *payment.Payment, opID string) bool {
	now, op := s.now(), p.Operation(opID)
	if op == nil {
		return false
	}
	ref, done := shown(p, *op, now)
	if done {
		p.Settle(opID, payment.Outcome{State: payment.OpDone, Ref: ref}, nil, now)
	}
	return done
}

// shown says whether our record shows already what a money operation was to do, and in which
// object: a webhook or sweep was faster than its repetition, or it was done before the backup
// from which this record comes was put back. Any capture may be somebody else's, so it counts
// only where the provider would be looked at by the same rule.
func shown(p *payment.Payment, op payment.Operation, now time.Time) (string, bool) {
	if op.State.Settled() || op.Leased(now) || !op.Moves() || op.Kind != payment.OpRefund && op.LookUps == 0 && !op.LooksFirst(now) {
		return "", false
	}
	return effect(p.Facts, p, op)
}

// plan decides how to go on with an operation, given how long its provider
// remembers keys.
func (s *Service) plan(p *payment.Payment, op payment.Operation, now time.Time) payment.Plan {
	_, name, _ := attempt(p, op.N)
	account, ok := s.opts.Providers.Account(name)
	if !ok {
		return payment.PlanCall // fails as misconfigured, visibly
	}
	plan := op.Plan(now, account.Info().KeyLife(op.Kind))
	if plan == payment.PlanLookUp && !op.Withdrawn && (op.Kind == payment.OpClose || op.Kind == payment.OpVoid || op.Kind == payment.OpSaveEvidence) {
		return payment.PlanRenew // they read first and do nothing twice, or write the same again
	}
	return plan
}

// execute carries out an operation that this owner has started, and stores what
// came of it. The provider call and the write after it outlive an impatient
// caller: their outcome is worth more than the caller's time.
func (s *Service) execute(ctx context.Context, p *payment.Payment, r run, src payment.Source) (*payment.Payment, error) {
	ctx = context.WithoutCancel(ctx)
	op := *p.Operation(r.op)
	out, obs, callErr := s.try(ctx, p, op)
	if callErr != nil {
		s.log.InfoContext(ctx, "provider call", "payment", p.ID, "operation", op.ID, "kind", op.Kind, "outcome", out.State, "error", callErr)
	}
	src.Reason = string(op.Kind)
	out.Unheard = !r.awaited && op.Kind == payment.OpRefund
	taken := false // by somebody else, after our lease ended: the operation is theirs to settle, or this write landed before
	settle := func(p *payment.Payment) error {
		current := p.Operation(r.op)
		if taken = current == nil || current.LeaseOwner != r.owner; taken {
			if obs != nil { // what the provider said is true all the same
				p.Facts = p.Facts.Observe(*obs)
			}
			return nil
		}
		p.Settle(r.op, out, obs, s.now())
		remember(p, p.Operation(r.op), r.awaited)
		return nil
	}
	// What was written before the call is nearly always still what is stored; where it is not, the compare-and-swap
	// says so, and the payment is read.
	next, err := s.save(ctx, p, src, settle)
	if errors.Is(err, ErrConflict) {
		next, err = s.change(ctx, p.ID, src, settle)
	}
	switch {
	case err != nil:
		s.log.ErrorContext(ctx, "what came of a try may not be written: the next try finds out", "payment", p.ID, "operation", op.ID, "kind", op.Kind, "outcome", out.State, "ref", out.Ref, "error", err)
		return nil, err
	case taken && !op.Leased(s.now()):
		s.log.WarnContext(ctx, "a try ended after its lease: whoever took over settles it, unless this outcome was written already", "payment", p.ID, "operation", op.ID, "kind", op.Kind, "outcome", out.State, "ref", out.Ref)
	}
	return next, callErr
}

// remember notes, in the write that settles an operation, that its outcome is the
// answer to its request from now on: it may have been heard, and acted on. That a
// refund failed is heard as an event where nobody waits for the answer; where somebody
// does, they are told to try again.
func remember(p *payment.Payment, op *payment.Operation, awaited bool) {
	switch {
	case op.Kind == payment.OpCreate:
		p.Answered = p.Answered || answers(*op)
	case !op.Ordered(): // by no request
	case awaited:
		op.Answered = op.Answered || answers(*op)
	default:
		op.Answered = op.Answered || op.Kind == payment.OpRefund && op.State == payment.OpFailed
	}
}

// answers says whether this outcome is told as a 2xx or 402, which is remembered.
func answers(op payment.Operation) bool {
	switch op.State {
	case payment.OpDone, payment.OpUnknown:
		return true
	case payment.OpFailed:
		return op.Code == payment.CodeDeclined
	case payment.OpPending:
	}
	return false
}

// try makes the provider call of an operation, or looks up whether an earlier
// one took effect. What came late is not sent before a look, whatever its key is worth: where
// the look fails, it is tried again.
func (s *Service) try(ctx context.Context, p *payment.Payment, op payment.Operation) (payment.Outcome, *payment.Observation, error) {
	a, name, _ := attempt(p, op.N)
	account, ok := s.opts.Providers.Account(name)
	if !ok {
		err := &providers.Error{Class: providers.Misconfigured, Op: string(op.Kind), Code: "account_not_configured"}
		return s.outcome(err), nil, err
	}
	// Start counted this try if it is a call; a look-up leaves Tries as they were
	// and finds the key dead again.
	if plan := s.plan(p, op, s.now()); plan == payment.PlanLookUp {
		return s.lookUp(ctx, p, op, account, a)
	}
	if op.LookFirst {
		out, obs, err := s.lookUp(ctx, p, op, account, a)
		if err != nil || out.State == payment.OpDone || !out.LookedUp { // without its root, what it did may be out of sight
			return out, obs, err
		}
		if overtakenBy(p, op, *obs) {
			return payment.Outcome{State: payment.OpFailed, Code: payment.CodeConflict, Failure: payment.Failure{Code: "overtaken"}}, obs, nil
		}
	}
	if !op.Leased(s.now()) { // this process was stopped: somebody else may have ended it, and told so
		err := &providers.Error{Class: providers.NotDone, Op: string(op.Kind), Code: "lease_over"}
		return s.outcome(err), nil, err
	}
	out, obs, err := s.send(ctx, p, op, account, a)
	out.Looked = op.LookFirst
	return out, obs, err
}

// overtakenBy says that a look shows that an operation is due no more which, as far as is
// known, was never sent.
func overtakenBy(p *payment.Payment, op payment.Operation, obs payment.Observation) bool {
	if op.Ambiguous {
		return false
	}
	seen := p.Clone()
	seen.Facts = seen.Facts.Observe(obs)
	op.State = payment.OpPending // as it was before this try
	return seen.Overtaken(op)
}

// send makes the provider call of an operation.
func (s *Service) send(ctx context.Context, p *payment.Payment, op payment.Operation, account *providers.Account, a providers.Attempt) (payment.Outcome, *payment.Observation, error) {
	res, err := s.call(ctx, op, account, a)
	if err != nil {
		return s.failed(ctx, p, op, res, err)
	}
	res.Observation.N = op.N
	out := payment.Outcome{State: payment.OpDone, Ref: res.Ref}
	if op.Kind == payment.OpClose {
		if after := p.Facts.Observe(res.Observation); !after.Closable(op.N) {
			out = payment.Outcome{State: payment.OpFailed, Code: payment.CodeConflict, Failure: payment.Failure{Code: "paid_meanwhile"}}
		}
	}
	return out, &res.Observation, nil
}

// failed is the outcome of a call that ended in an error. What forbade it is news
// and comes in the same breath: the adapter has read it, or it is read now. Where
// an earlier try left no answer and the news shows its effect ("captured
// already"), the operation is done.
func (s *Service) failed(ctx context.Context, p *payment.Payment, op payment.Operation, res providers.Result, callErr error) (payment.Outcome, *payment.Observation, error) {
	out := s.outcome(callErr)
	switch providers.ClassOf(callErr) {
	case providers.Declined, providers.Refused:
	case providers.NotFound:
		return s.gone(ctx, p, op, out, callErr)
	case providers.NotDone, providers.Misconfigured, providers.Unknown:
		return out, nil, callErr
	}
	obs := res.Observation
	obs.N = op.N
	if !obs.Complete {
		read, ok, err := s.fetch(ctx, p, op.N)
		if ok && !op.Kind.OnDispute() {
			err = nil // what stands beside the root shows no money of ours
		}
		switch {
		case err != nil && mayBeEcho(op):
			return payment.Outcome{State: payment.OpUnknown}, nil, callErr
		case err != nil || !ok:
			return out, &obs, callErr // the refusal stands without it
		}
		read.Facts = read.Facts.Merge(obs.Facts)
		obs = read
	}
	if ref, found := effect(p.Facts.Observe(obs), p, op); found && mayHaveActed(op) {
		return payment.Outcome{State: payment.OpDone, Ref: ref}, &obs, nil
	}
	if obs.Rootless && mayBeEcho(op) {
		return payment.Outcome{State: payment.OpUnknown}, &obs, callErr // our own success may be out of sight
	}
	return out, &obs, callErr
}

// gone is the outcome of a call whose object was not there. That can pass: a
// provider's 404 may be wrong for a while. But where the attempt, read now, is dead
// for good, and every earlier try is either known to have done nothing or was looked
// for twice and not found, nothing will ever be captured of it.
func (s *Service) gone(ctx context.Context, p *payment.Payment, op payment.Operation, out payment.Outcome, callErr error) (payment.Outcome, *payment.Observation, error) {
	obs, ok, _ := s.fetch(ctx, p, op.N)
	if !ok {
		return out, nil, callErr // looked at again later
	}
	fact, _ := p.Facts.Observe(obs).AttemptFact(op.N)
	if takes := op.Kind == payment.OpCapture || op.Kind == payment.OpAuthorize; takes && fact.State.Dead() && !op.Ambiguous {
		out = payment.Outcome{State: payment.OpFailed, Code: payment.CodeConflict, Failure: payment.Failure{
			Code: "checkout_gone", Message: "The checkout lapsed before the money was taken.",
		}}
	}
	return out, &obs, callErr
}

// mayBeEcho says whether a refusal may be the echo of our own success: of an earlier try, or,
// of what came late, of one before a backup was put back, where the look before it lagged.
func mayBeEcho(op payment.Operation) bool { return op.Unseen() || op.LookFirst }

// mayHaveActed says whether an effect that is found now can be this order's. A
// refund that bears our id is ours in any case, and a hold that is gone is gone,
// whoever let go of it.
func mayHaveActed(op payment.Operation) bool {
	return mayBeEcho(op) || op.Kind == payment.OpRefund || op.Kind == payment.OpVoid
}

// call sends one operation to its provider.
func (s *Service) call(ctx context.Context, op payment.Operation, account *providers.Account, a providers.Attempt) (providers.Result, error) {
	capture := providers.CaptureRequest{Attempt: a, Target: op.Target, Amount: op.Amount, Final: op.Final}
	switch op.Kind {
	case payment.OpCreate:
		var req providers.CheckoutRequest
		if err := json.Unmarshal(op.Params, &req); err != nil {
			return providers.Result{}, &providers.Error{Class: providers.Refused, Op: "create_checkout", Code: "stored_request_unreadable", Cause: err}
		}
		return account.CreateCheckout(ctx, req, op.Key)
	case payment.OpClose:
		return account.CloseCheckout(ctx, a, op.Key)
	case payment.OpAuthorize:
		return account.Authorize(ctx, capture, op.Key)
	case payment.OpCapture:
		return account.Capture(ctx, capture, op.Key)
	case payment.OpVoid:
		return account.Void(ctx, capture, op.Key)
	case payment.OpRefund:
		return account.Refund(ctx, providers.RefundRequest{
			Attempt: a, Capture: op.Target, Amount: op.Amount, Reason: op.Reason, Operation: op.ID,
		}, op.Key)
	case payment.OpAcceptDispute, payment.OpSaveEvidence, payment.OpSubmitEvidence:
		return s.callDispute(ctx, op, account, a)
	}
	return providers.Result{}, &providers.Error{Class: providers.Refused, Op: string(op.Kind), Code: "unknown_operation"}
}

// outcome classifies an error of a call. Only what certainly did not happen may
// fail; everything unclear stays unknown.
func (s *Service) outcome(err error) payment.Outcome {
	var e *providers.Error
	if !errors.As(err, &e) {
		return payment.Outcome{State: payment.OpUnknown}
	}
	switch e.Class {
	case providers.Declined:
		return payment.Outcome{State: payment.OpFailed, Declined: true, Code: payment.CodeDeclined, Failure: e.Failure()}
	case providers.Refused:
		return payment.Outcome{State: payment.OpFailed, Code: payment.CodeConflict, Failure: e.Failure()}
	case providers.NotDone, providers.NotFound:
		return payment.Outcome{
			State: payment.OpPending, Code: payment.CodeProviderUnavailable, Failure: e.Failure(), RetryAfter: e.RetryAfter,
			MustLookUp: e.Stored, // the key would only bring the same answer again
		}
	case providers.Misconfigured:
		return payment.Outcome{State: payment.OpPending, Code: payment.CodeProviderUnavailable, Failure: e.Failure(), RetryAfter: 5 * time.Minute}
	case providers.Unknown:
	}
	return payment.Outcome{State: payment.OpUnknown, MustLookUp: e.Stored, RetryAfter: e.RetryAfter}
}
