// Package judge holds what a gateway says against the providers' own books. It sees
// the ledger of money that really moved, what apps were told, what people did, and
// the gateway's public API as JSON. It imports nothing of the product, so that it
// can't share a mistake with what it judges: statuses, sums and the published graph
// are written down here a second time. It must not act, only read and say.
package judge

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Row is one movement of money in a provider's ledger, in minor units.
type Row struct {
	Object, Kind, Reference, Currency string
	Amount                            int64
	// Settles says that the account gained or lost just this, in this currency; else
	// Settled tells what it did.
	Settles bool
}

// Order is one payment that an app wanted, and what people did about it.
type Order struct {
	ID     string // what the payment's id must be: it follows from the request
	App    string
	Amount int64
	Manual bool
	Told   bool // the app was given the id

	Captures int      // asked for and not refused
	Refunds  int      // asked for and not refused, made outside, or ordered by an operator
	Refused  []string // refunds that were refused for certain
	Holds    []int64  // the amounts of those captures that named one
	Parts    []int64  // the amounts of those refunds that named one
	Resolved bool     // an operator ordered money to be given back
	Accepted bool     // an operator took the money as it is
	Wrong    bool     // the provider has taken other money than was asked, or once more, by itself
	Late     bool     // somebody took money after the payment was over

	reads []read // by the app, each version once
}

// read is a payment as the app read it.
type read struct {
	status  string
	version int64
}

// book is one payment's money at the provider.
type book struct {
	captures                   int
	taken                      []int64 // by each capture
	captured, refunded, failed int64
	disputed, won              int64
	refunds                    map[string]int64 // by the provider's id
	returned                   map[string]bool  // refunds that failed
	disputes                   map[string]int64
	fees, nets                 map[string]int64 // by the currency in which they were settled
}

// Judge collects. Make it with New.
type Judge struct {
	fail   func(format string, args ...any)
	orders map[string]*Order
	books  map[string]*book
	// Strangers says that others use the accounts too: money that names no payment
	// is theirs.
	Strangers bool
	// Restored says that a backup was put back: what was said or done since is not on
	// record. Money that is not must be told as an orphan.
	Restored bool
}

// New calls fail for everything that must not be.
func New(fail func(format string, args ...any)) *Judge {
	return &Judge{fail: fail, orders: map[string]*Order{}, books: map[string]*book{}}
}

// Expect tells of an order before it is placed. Its fields may change as people act.
func (j *Judge) Expect(o *Order) { j.orders[o.ID] = o }

// Order finds one by its payment's id; nil if nobody wanted that.
func (j *Judge) Order(id string) *Order { return j.orders[id] }

func (j *Judge) book(id string) *book {
	if j.books[id] == nil {
		j.books[id] = &book{refunds: map[string]int64{}, returned: map[string]bool{}, disputes: map[string]int64{}, fees: map[string]int64{}, nets: map[string]int64{}}
	}
	return j.books[id]
}

// Plain says that one capture stands and nothing was given back or taken back.
func (j *Judge) Plain(id string) bool {
	b := j.book(id)
	return b.captures == 1 && len(b.refunds) == 0 && b.disputed == 0
}

// Captured is what the provider took for a payment, in minor units.
func (j *Judge) Captured(id string) int64 { return j.book(id).captured }

// Moved takes a new row of the ledger. I1 holds at every moment: nobody is charged
// twice or too much, and I11: never more is given back than was taken.
func (j *Judge) Moved(r Row) {
	if r.Reference == "" && j.Strangers {
		return
	}
	b, o := j.book(r.Reference), j.orders[r.Reference]
	switch r.Kind {
	case "capture":
		b.captures++
		b.captured += r.Amount
		b.taken = append(b.taken, r.Amount)
		switch {
		case o == nil:
			j.fail("I16 money moved for %q, which nobody asked for", r.Reference)
		case o.Wrong || o.Late:
		case b.captures > 1 && !o.Manual:
			j.fail("I1 %s was charged %d times", r.Reference, b.captures)
		case b.captured > o.Amount:
			j.fail("I1 %s was charged %d of %d", r.Reference, b.captured, o.Amount)
		}
	case "refund":
		b.refunds[r.Object] = r.Amount
		b.refunded += r.Amount
		if b.refunded-b.failed > b.captured {
			j.fail("I11 %s: %d given back of %d", r.Reference, b.refunded-b.failed, b.captured)
		}
	case "refund_failed":
		b.returned[r.Object] = true
		b.failed += r.Amount
	case "dispute":
		b.disputes[r.Object] = r.Amount
		b.disputed += r.Amount
	case "reversal":
		b.disputed += r.Amount
	case "dispute_won":
		b.won += r.Amount
	}
	if !r.Settles {
		return
	}
	switch r.Kind {
	case "capture", "refund_failed", "dispute_won":
		j.Settled(r.Reference, r.Currency, 0, r.Amount)
	case "refund", "dispute", "reversal":
		j.Settled(r.Reference, r.Currency, 0, -r.Amount)
	case "fee":
		j.Settled(r.Reference, r.Currency, r.Amount, -r.Amount)
	}
}

// Settled takes what a movement cost and left in the account, in minor units of the
// currency in which the provider settled it.
func (j *Judge) Settled(reference, currency string, fee, net int64) {
	if reference != "" || !j.Strangers {
		b := j.book(reference)
		b.fees[currency] += fee
		b.nets[currency] += net
	}
}

// follows is the published graph, without the way into conflicted, which is open
// to every status.
func follows() map[string]string {
	return map[string]string{
		"conflicted": "succeeded authorized processing requires_action canceled expired failed",
		"succeeded":  "",
		"authorized": "succeeded processing canceled",
		"processing": "succeeded authorized requires_action canceled expired failed", "requires_action": "succeeded authorized processing canceled expired failed",
		"canceled": "succeeded authorized processing", "expired": "succeeded authorized processing", "failed": "succeeded authorized processing",
	}
}

func mayFollow(from, to string) bool {
	return from == to || to == "conflicted" || slices.Contains(strings.Fields(follows()[from]), to)
}

// Observed is an app reading its payment: what is said to be paid is paid (I3),
// nothing is older than what it read before (I17). An app that looks seldom misses
// statuses, so whether this one may follow the last one (I12) is judged in the end, by
// the history: it must agree with every read, and each of its steps with the graph.
func (j *Judge) Observed(o *Order, status string, version int64) {
	if status == "succeeded" && j.book(o.ID).captured == 0 {
		j.fail("I3 %s is said to be paid, and no money moved", o.ID)
	}
	if n := len(o.reads); n > 0 {
		switch last := o.reads[n-1]; {
		case version < last.version:
			j.fail("I17 %s was read in version %d, before in %d", o.ID, version, last.version)
		case version == last.version && status == last.status:
			return
		}
	}
	o.reads = append(o.reads, read{status, version})
}

// End checks everything that must hold once nothing moves any more.
func (j *Judge) End(apps []string, ask Ask) {
	r := reader{j: j, ask: ask}
	alerts, listed := r.alerts(), map[string]bool{}
	orphan := func(kinds []string) bool { return slices.Contains(kinds, "orphan_money") }
	told := j.Restored && slices.ContainsFunc(slices.Collect(maps.Values(alerts)), orphan)
	for _, app := range apps {
		events := r.feed(app)
		for _, p := range r.payments(app) {
			o := j.orders[p.ID]
			if o == nil || o.App != app {
				j.fail("I16 %s has the payment %s, which it did not ask for", app, p.ID)
				continue
			}
			listed[p.ID] = true
			if told && p.Amounts.Captured.Amount < j.book(p.ID).captured {
				continue // taken at a checkout that was opened since the backup: told as an orphan
			}
			j.sums(o, p, alerts[p.ID])
			j.objects(p, events[p.ID], alerts[p.ID])
			j.failed(o, p, events[p.ID])
			entries := r.history(app, p.ID)
			j.history(o, p, entries, events[p.ID])
			if !j.Restored {
				j.reads(o, entries)
			}
			if again := r.sync(app, p.ID); again.Status != p.Status || !reflect.DeepEqual(again.Amounts, p.Amounts) {
				j.fail("I3 %s: read once more it is %s %+v, on record was %s %+v", p.ID, again.Status, again.Amounts, p.Status, p.Amounts)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(j.orders)) {
		o := j.orders[id]
		if o.Told && !listed[id] && !j.Restored {
			j.fail("I4 payment %s was answered and is gone", id)
		}
		if b := j.books[id]; b != nil && b.captures > 0 && !listed[id] && !told {
			j.fail("I16 money moved for %s, which is not on record", id)
		}
	}
}

// sums: I1, I3, I5, I7. Each refund and capture took effect at most once, no capture
// that was refused did, and what is odd was told.
func (j *Judge) sums(o *Order, p Payment, alerts []string) {
	b, a := j.book(p.ID), p.Amounts
	if a.Captured.Amount != b.captured || a.Refunded.Amount != b.refunded-b.failed || a.Disputed.Amount != b.disputed-b.won {
		j.fail("I3 %s (%s): captured %d refunded %d disputed %d, the provider says %d %d %d", p.ID, p.Status,
			a.Captured.Amount, a.Refunded.Amount, a.Disputed.Amount, b.captured, b.refunded-b.failed, b.disputed-b.won)
	}
	// A provider that takes other money than it was asked for is an invention: a balance transaction of Stripe's that was
	// seen while the money was under way would have to change, which it never does.
	if !o.Wrong && (!same(a.Fee, b.fees) || !same(a.Net, b.nets)) {
		j.fail("I3 %s (%s): fee %v net %v, the provider says %v and %v", p.ID, p.Status, a.Fee, a.Net, b.fees, b.nets)
	}
	paid := p.Status == "succeeded"
	if paid != (b.captured > 0) && !(o.Resolved && p.Status == "canceled") {
		j.fail("I3 %s is %s, the provider took %d", p.ID, p.Status, b.captured)
	}
	told := slices.Contains(alerts, "conflicted_payment")
	odd := !o.Manual && paid && b.captured != o.Amount
	if odd && (!o.Accepted && !o.Resolved || !told) {
		j.fail("I7 %s: asked %d, taken %d, and nobody was told", p.ID, o.Amount, b.captured)
	}
	if b.captures > 1 && !o.Manual && !told {
		j.fail("I1 %s was charged %d times, and nobody was told", p.ID, b.captures)
	}
	// A backup may be from before it was over: then the money came in time.
	if o.Late && !j.Restored && !slices.Contains(alerts, "late_money") && !told {
		j.fail("I7 %s was paid after it was over, and nobody was told", p.ID)
	}
	if kept := b.captured - (b.refunded - b.failed) - (b.disputed - b.won); paid && o.Resolved && !o.Accepted && !o.Manual && kept > o.Amount {
		j.fail("I7 %s: an operator ordered money to be given back, and %d of %d asked are kept", p.ID, kept, o.Amount)
	}
	again := 0
	if o.Resolved { // what an operator ordered to be given back is, though a refund failed or a dispute held a part of it
		again = len(b.returned) + len(b.disputes)
	}
	if len(b.refunds) > o.Refunds+again {
		j.fail("I1 %s: %d refunds, asked for were %d", p.ID, len(b.refunds), o.Refunds)
	}
	if o.Manual && b.captures > o.Captures && !o.Wrong {
		j.fail("I5 %s: %d captures, asked for and not refused were %d", p.ID, b.captures, o.Captures)
	}
	j.asked(o, b, again)
}

// objects: each refund and dispute is on record one by one, and was told.
func (j *Judge) objects(p Payment, told []Event, alerts []string) {
	b := j.book(p.ID)
	known := map[string]Refund{}
	for _, r := range p.Refunds {
		known[r.ProviderRef] = r
	}
	for _, id := range slices.Sorted(maps.Keys(b.refunds)) {
		amount := b.refunds[id]
		want := "succeeded"
		if b.returned[id] {
			want = "failed"
		}
		if r := known[id]; r.Amount != amount || r.Status != want {
			j.fail("I3 %s: refund %s of %d is %s at the provider, on record %+v", p.ID, id, amount, want, r)
		} else if !heard(told, "refund."+want, r.ID) {
			j.fail("I9 %s: nobody heard that refund %s is %s", p.ID, r.ID, want)
		}
	}
	if len(b.returned) > 0 && !slices.Contains(alerts, "refund_failed") {
		j.fail("I13 %s: a refund failed and nobody was told", p.ID)
	}
	disputes := map[string]Dispute{}
	for _, d := range p.Disputes {
		disputes[d.ProviderRef] = d
	}
	for _, id := range slices.Sorted(maps.Keys(b.disputes)) {
		amount := b.disputes[id]
		if d := disputes[id]; d.Amount != amount {
			j.fail("I3 %s: dispute %s of %d, on record %+v", p.ID, id, amount, d)
		} else if !heard(told, "dispute.opened", d.ID) {
			j.fail("I9 %s: the app never heard of dispute %s", p.ID, d.ID)
		}
	}
	if len(b.disputes) > 0 && !slices.Contains(alerts, "dispute_opened") {
		j.fail("I13 %s: a dispute opened and nobody was told", p.ID)
	}
}

// same compares amounts with those of a provider; nothing and zero are the same.
func same(ours []Money, theirs map[string]int64) bool {
	left := maps.Clone(theirs)
	for _, m := range ours {
		left[m.Currency] -= m.Amount
	}
	for _, n := range left {
		if n != 0 {
			return false
		}
	}
	return true
}
