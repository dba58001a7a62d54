package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// PaymentEraser overwrites what is personal in one payment; conflict (payment.CodeConflict) while it is not over.
// gateway.Service is one.
type PaymentEraser interface {
	Erase(ctx context.Context, id string, e payment.Erasure) (*payment.Payment, error)
}

// Eraser works on erasures, one batch a step: it finds the customer's payments and has them erased, sweeps the
// collections that repeat what payments hold, and then proves it by reading everything that is kept. A crash anywhere
// leaves an erasure that goes on where it was; every write may be repeated.
type Eraser struct {
	engine   Engine
	erasures *Erasures
	payments PaymentEraser
	clock    func() time.Time
	// Where a rendered payment names its customer, without and with the app's own texts.
	personal, texts *places

	mu   sync.Mutex
	next time.Time // saves a query in every step
}

// NewEraser makes an Eraser over an engine; a SealedEngine where records are sealed.
func NewEraser(e Engine, p PaymentEraser, clock func() time.Time) (*Eraser, error) {
	customer := []string{"customer.email", "customer.name"}
	personal, err := newPlaces(customer)
	if err != nil {
		return nil, err
	}
	texts, err := newPlaces(append(customer, "description", "metadata"))
	return &Eraser{engine: e, erasures: NewErasures(e), payments: p, clock: clock, personal: personal, texts: texts}, err
}

const (
	eraseBatch = 50              // documents of one step; pages of feeds hold up to 200 events each
	eraseFeed  = 4               // pages of feeds
	eraseIdle  = 5 * time.Second // how soon a new order is noticed
	eraseStuck = time.Minute     // how soon one that failed is tried again
	eraseAgain = time.Hour       // how soon payments that were not over are looked at again
	maxWaiting = 20              // ids of such payments in the record
	maxNeedles = 200             // addresses and names of one customer
)

// Step works on one batch of one erasure.
func (r *Eraser) Step(ctx context.Context) (did int, next time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	if now.Before(r.next) {
		return 0, r.next, nil
	}
	idle := now.Add(eraseIdle)
	e, version, err := r.erasures.due(ctx, now)
	if errors.Is(err, gateway.ErrNotFound) {
		r.next = idle
		return 0, idle, nil
	}
	if err != nil {
		return 0, idle, err
	}
	switch e.Phase {
	case phaseFind:
		err = r.find(ctx, &e, &version)
	case phaseSweep:
		err = r.sweep(ctx, &e)
	case phaseProve:
		err = r.prove(ctx, &e)
	}
	if err == nil {
		_, err = r.erasures.save(ctx, e, version)
	}
	if errors.Is(err, errOvertaken) {
		return 1, now, nil
	}
	if err != nil {
		err = fmt.Errorf("erasure %s: %w", e.ID, err)
		outage := errors.Is(err, ErrUnavailable) || errors.Is(err, gateway.ErrUnavailable) || payment.CodeOf(err) == payment.CodeStoreUnavailable
		if !outage { // it must not stand before the others until somebody has mended it
			err = errors.Join(err, r.erasures.putOff(ctx, e.ID, now.Add(eraseStuck)))
		}
		return 0, idle, err
	}
	return 1, now, nil
}

// Ordered lets the next Step look for new orders at once.
func (r *Eraser) Ordered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = time.Time{}
}

// mine says whether a payment is the customer's. One that was erased has its ref and, where it was found by its
// address, the decision.
func (e *Erasure) mine(p *payment.Payment) bool {
	if p.App != e.App || p.Mode != e.Mode {
		return false
	}
	if e.Ref != "" && p.Request.Customer.Ref == e.Ref {
		return true
	}
	return p.ErasedBy(e.ID) || e.tookByAddress(p) || e.Email != "" && (strings.EqualFold(p.Request.Customer.Email, e.Email) ||
		slices.ContainsFunc(p.Facts.Attempts, func(a payment.AttemptFact) bool { return strings.EqualFold(a.PayerEmail, e.Email) }))
}

// find has one batch of payments erased. What they hold is remembered before it is overwritten: the proof looks for it.
func (r *Eraser) find(ctx context.Context, e *Erasure, version *int64) error {
	if e.After == "" { // a round begins
		e.Found, e.Pending, e.Waiting = 0, 0, nil
		if err := r.recall(ctx, e); err != nil {
			return err
		}
	}
	docs, next, err := r.candidates(ctx, e)
	if err != nil {
		return err
	}
	var mine []*payment.Payment
	known := len(e.Emails) + len(e.Names)
	for _, d := range docs {
		p, err := paymentOf(d)
		if err != nil {
			continue // the proof counts it as unreadable
		}
		if e.mine(p) {
			mine = append(mine, p)
			e.learn(p)
		}
	}
	if len(e.Emails)+len(e.Names) > known {
		if *version, err = r.erasures.save(ctx, *e, *version); err != nil {
			return err
		}
	}
	for _, p := range mine {
		e.Found++
		was, wasTexts := p.Erased()
		_, err := r.payments.Erase(ctx, p.ID, e.order())
		switch {
		case payment.CodeOf(err) == payment.CodeConflict:
			e.wait(p.ID)
		case err != nil:
			return err
		case !was || e.Texts && !wasTexts:
			e.count(paymentsName, func(c *EraseCount) { c.Erased++ })
		}
	}
	e.After = next
	if next == "" {
		e.enter(phaseSweep)
	}
	return nil
}

// candidates reads the next batch among which the customer's payments are.
func (r *Eraser) candidates(ctx context.Context, e *Erasure) ([]Doc, string, error) {
	if e.Email != "" { // addresses are sealed, nothing can be searched by them
		return r.engine.Scan(ctx, paymentsName, e.After, eraseBatch)
	}
	return r.engine.Query(ctx, paymentsName, Query{
		Index: "by_customer", Where: []Filter{Where("tenant", Eq, tenant(e.App, e.Mode)), Where("customer", Eq, e.Ref)},
		SortBy: "created", Limit: eraseBatch, After: e.After,
	})
}

func (e *Erasure) wait(id string) {
	e.Pending++
	if len(e.Waiting) < maxWaiting && !slices.Contains(e.Waiting, id) {
		e.Waiting = append(e.Waiting, id)
	}
}

// learn notes the addresses and names that a payment holds.
func (e *Erasure) learn(p *payment.Payment) {
	add := func(list *[]string, text string) {
		if text != "" && text != payment.Erased && !slices.Contains(*list, text) && len(e.Emails)+len(e.Names) < maxNeedles {
			*list = append(*list, text)
		}
	}
	add(&e.Emails, p.Request.Customer.Email)
	add(&e.Names, p.Request.Customer.Name)
	for _, a := range p.Facts.Attempts {
		add(&e.Emails, a.PayerEmail)
	}
}

func (e *Erasure) count(coll string, fn func(*EraseCount)) {
	if e.Counts == nil {
		e.Counts = map[string]EraseCount{}
	}
	c := e.Counts[coll]
	fn(&c)
	e.Counts[coll] = c
}

// enter begins a phase.
func (e *Erasure) enter(phase string) {
	e.Phase, e.After, e.Collection = phase, "", Keepings()[0].Collection
	if phase == phaseProve {
		e.erasureRest, e.Still = erasureRest{}, nil
		for coll, c := range e.Counts {
			e.Counts[coll] = EraseCount{Erased: c.Erased}
		}
	}
}

// onward moves to the next batch or collection; false when all are done.
func (e *Erasure) onward(after string) bool {
	if e.After = after; after != "" {
		return true
	}
	all := Keepings()
	at := slices.IndexFunc(all, func(k Keeping) bool { return k.Collection == e.Collection })
	if at+1 >= len(all) {
		return false
	}
	e.Collection = all[at+1].Collection
	return true
}

func (e *Erasure) keeping() Keeping {
	all := Keepings()
	at := slices.IndexFunc(all, func(k Keeping) bool { return k.Collection == e.Collection })
	if at < 0 {
		return Keeping{Collection: e.Collection, Erase: EraseNothing}
	}
	return all[at]
}

func batchOf(coll string) int {
	if coll == feedName {
		return eraseFeed
	}
	return atOnce(coll, eraseBatch)
}

// sweep overwrites one batch of what repeats the customer's data.
func (r *Eraser) sweep(ctx context.Context, e *Erasure) error {
	k := e.keeping()
	if k.Erase == EraseNothing || k.Erase == ErasePayment {
		if !e.onward("") {
			e.enter(phaseProve)
		}
		return nil
	}
	docs, next, err := r.engine.Scan(ctx, k.Collection, e.After, batchOf(k.Collection))
	if err != nil {
		return err
	}
	who, err := r.owners(ctx, k.Collection, docs)
	if err != nil {
		return err
	}
	n := newNeedles(append([]string{e.Email}, e.Asked...), e.Emails, e.Names)
	for _, d := range docs {
		erased, err := r.eraseDoc(ctx, e, k, d, n, who)
		if err != nil {
			return err
		}
		if erased > 0 {
			e.count(k.Collection, func(c *EraseCount) { c.Erased += int64(erased) })
		}
	}
	if !e.onward(next) {
		e.enter(phaseProve)
	}
	return nil
}

// owners reads the payments that documents are about, by their ids and by those of their disputes.
func (r *Eraser) owners(ctx context.Context, coll string, docs []Doc) (map[string]*payment.Payment, error) {
	var ids []string
	for _, d := range docs {
		for _, u := range unitsOf(coll, d) {
			if u.about != "" && !slices.Contains(ids, u.about) {
				ids = append(ids, u.about)
			}
		}
	}
	who := map[string]*payment.Payment{}
	for chunk := range slices.Chunk(ids, MaxGetMany) {
		found, err := r.engine.GetMany(ctx, paymentsName, chunk)
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			if p, err := paymentOf(d); err == nil {
				who[p.ID] = p
			}
		}
	}
	if coll == feedName || coll == inboxName || coll == paymentsName {
		return who, nil // about payments alone
	}
	for _, id := range ids {
		if who[id] != nil {
			continue
		}
		found, _, err := r.engine.Query(ctx, paymentsName, Query{Index: "by_ref", Where: []Filter{Where("refs", In, refText("", id))}})
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			p, err := paymentOf(d)
			if err != nil {
				continue // the proof counts it as unreadable
			}
			if _, ok := p.DisputeOf(id); ok {
				who[id] = p
			}
		}
	}
	return who, nil
}

// prove looks into one batch of everything that is kept.
func (r *Eraser) prove(ctx context.Context, e *Erasure) error {
	coll := e.Collection
	docs, next, err := r.engine.Scan(ctx, coll, e.After, batchOf(coll))
	if err != nil {
		return err
	}
	who, err := r.owners(ctx, coll, docs)
	if err != nil {
		return err
	}
	n := newNeedles(append([]string{e.Email}, e.Asked...), e.Emails, e.Names)
	for _, d := range docs {
		if d.ID == e.ID && coll == erasuresName {
			continue // what it looks for stands in it until it is done
		}
		e.count(coll, func(c *EraseCount) { e.judge(c, coll, d, n, who) })
	}
	if e.onward(next) {
		return nil
	}
	earlier := e.Earlier
	if r.conclude(e); e.State != ErasureDone {
		return nil
	}
	return r.erasures.finish(ctx, earlier, e.ID)
}

// conclude ends a round.
func (r *Eraser) conclude(e *Erasure) {
	if e.Pending > 0 {
		e.State, e.DueAt = ErasurePending, r.clock().Add(eraseAgain)
		e.Phase, e.Collection, e.After = phaseFind, "", ""
		return
	}
	e.State, e.DueAt, e.DoneAt = ErasureDone, time.Time{}, r.clock()
	if e.Left() > 0 {
		e.State, e.Knows = ErasureIncomplete, true
		e.AddressDigest, e.AddressDigests = addressDigest(e.ID, e.Email), addressDigests(e.ID, e.Emails)
	}
	e.forget()
	e.Phase, e.Collection, e.After = "", "", ""
}

// judge counts one document of the proof.
func (e *Erasure) judge(c *EraseCount, coll string, d Doc, n needles, who map[string]*payment.Payment) {
	var r unreadableRecord
	if json.Unmarshal(d.Body, &r) == nil && r.Unreadable != "" {
		c.Scanned++
		c.Unreadable++
		e.leave(coll, d.ID, n)
		return
	}
	for _, u := range unitsOf(coll, d) {
		c.Scanned++
		m := u.mention(n)
		owner := u.owner(who)
		doubted := e.doubts(coll, owner)
		switch {
		case m.any() && e.theirs(m, owner):
			c.Left++
			e.stand(u)
			e.leave(coll, d.ID, n)
		case doubted != "":
			c.Left++
			e.leave(erasuresName, doubted, n) // first: this is where the doubt can be ended
			e.leave(coll, d.ID, n)
		case !m.any():
		default:
			c.Elsewhere++
		}
	}
}

// theirs says whether what was found is the customer's data: an address anywhere it belongs to nobody else, and in the
// app whatever names the address that was asked for. Two customers may share a name, and may pay with the same PayPal
// account: then the other's record is the other's.
func (e *Erasure) theirs(m mention, owner *payment.Payment) bool {
	if owner == nil {
		return m.email
	}
	if e.mine(owner) || e.before(owner) {
		return true
	}
	ours := owner.App == e.App && owner.Mode == e.Mode
	return ours && (m.asked || m.email && owner.Request.Customer.Ref == "")
}
