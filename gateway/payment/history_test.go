package payment

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// story is a model of one payment at a provider: what truly happens, step by
// step. Every step is told as a complete snapshot, as a Fetch would.
type story struct {
	t      *rapid.T
	terms  Terms
	paypal bool
	second int

	opened   []Attempt
	attempt  AttemptFact
	facts    Facts // below the current attempt
	told     []Observation
	statuses []Status // our status after each snapshot in order
	seen     Facts    // ours, fed in order
}

func newStory(t *rapid.T) *story {
	s := &story{t: t, terms: Terms{Amount: usd(1000), Manual: rapid.Bool().Draw(t, "manual")}, paypal: rapid.Bool().Draw(t, "paypal")}
	s.seen.Terms = s.terms
	return s
}

func (s *story) key(id string) ObjectKey {
	if s.paypal {
		return paypalKey(id)
	}
	return stripeKey(id)
}

func (s *story) provider() string { return s.key("").Provider }

// open begins the next attempt: our record first, then the provider's answer.
func (s *story) open() {
	n := len(s.opened) + 1
	s.opened = append(s.opened, opened(n, s.provider()))
	s.seen = s.seen.Merge(Facts{Opened: s.opened})
	s.statuses = append(s.statuses, s.seen.Status())
	s.facts = Facts{}
	s.attempt = AttemptFact{Key: s.key(fmt.Sprintf("root%d", n)), N: n, Kind: "order", State: AttemptOpen, Total: s.terms.Amount}
	s.tell(1)
}

// tell reports the whole attempt after at least the given number of seconds. A
// gap of 0 is allowed only where the step climbs a rank: provider time has whole
// seconds, and two reads can fall into one.
func (s *story) tell(least int) {
	s.second += rapid.IntRange(least, 3).Draw(s.t, "gap")
	now := at(s.second)
	read := func(st *Stamp) {
		if st.Created.IsZero() {
			st.Created = now
		}
		st.AsOf = now
	}
	read(&s.attempt.Stamp)
	f := s.facts.Merge(Facts{}) // a copy
	f.Attempts = []AttemptFact{s.attempt}
	for i := range f.Authorizations {
		read(&f.Authorizations[i].Stamp)
	}
	for i := range f.Captures {
		read(&f.Captures[i].Stamp)
	}
	for i := range f.Refunds {
		read(&f.Refunds[i].Stamp)
	}
	for i := range f.Disputes {
		read(&f.Disputes[i].Stamp)
	}
	for i := range f.Reversals {
		read(&f.Reversals[i].Stamp)
	}
	s.facts = f
	o := Observation{Provider: s.provider(), N: s.attempt.N, Complete: true, AsOf: now, Facts: f.Merge(Facts{})}
	s.told = append(s.told, o)
	s.seen = s.seen.Observe(o)
	s.statuses = append(s.statuses, s.seen.Status())
}

func (s *story) either(name string, choices ...string) string {
	return rapid.SampledFrom(choices).Draw(s.t, name)
}

// run lets a whole life happen.
func (s *story) run() {
	for attempt := 0; attempt < 3; attempt++ {
		s.open()
		if s.checkout() != "expire" {
			break
		}
	}
	if s.captured() > 0 {
		s.afterwards()
	}
}

// checkout plays one attempt until money moved or it is dead.
func (s *story) checkout() string {
	for rapid.IntRange(0, 3).Draw(s.t, "decline") == 0 {
		s.attempt.Failure = Failure{Code: "card_declined", DeclineCode: s.either("why", "insufficient_funds", "stolen_card")}
		s.tell(1)
	}
	end := s.either("end", "pay", "pay", "async", "expire")
	if end == "expire" {
		s.attempt.State = AttemptExpired
		s.tell(0)
		return end
	}
	if s.paypal {
		s.attempt.State, s.attempt.ApprovedAt = AttemptApproved, at(s.second+1)
		s.tell(0)
	}
	if s.terms.Manual {
		s.hold()
		return end
	}
	if end == "async" {
		s.async()
		return end
	}
	s.attempt.State = AttemptComplete
	s.facts.Captures = []Capture{{Key: s.key("c1"), N: s.attempt.N, Amount: s.terms.Amount, State: CaptureCompleted}}
	s.tell(0)
	return end
}

// async is a bank debit at Stripe, or a capture under review at PayPal.
func (s *story) async() {
	ok := rapid.Bool().Draw(s.t, "async ok")
	if s.paypal {
		s.attempt.State = AttemptComplete
		s.facts.Captures = []Capture{{Key: s.key("c1"), N: s.attempt.N, Amount: s.terms.Amount, State: CapturePending}}
		s.tell(0)
		s.facts.Captures[0].State = CaptureDeclined
		if ok {
			s.facts.Captures[0].State = CaptureCompleted
		}
		s.tell(0)
		return
	}
	s.attempt.State = AttemptProcessing
	s.tell(0)
	s.attempt.State = AttemptFailed
	if ok {
		s.attempt.State = AttemptComplete
		s.facts.Captures = []Capture{{Key: s.key("c1"), N: s.attempt.N, Amount: s.terms.Amount, State: CaptureCompleted}}
	}
	s.tell(0)
}

// hold authorizes, then captures in parts, renews, voids or lapses.
func (s *story) hold() {
	s.attempt.State = AttemptAuthorized
	s.facts.Authorizations = []Authorization{{Key: s.key("a1"), N: s.attempt.N, Amount: s.terms.Amount, Capturable: 1000, State: AuthActive}}
	s.tell(0)
	for i := 2; ; i++ {
		a := &s.facts.Authorizations[len(s.facts.Authorizations)-1]
		switch step := s.either("hold", "part", "part", "all", "renew", "void", "lapse"); {
		case step == "renew" && s.paypal && i < 4:
			s.facts.Authorizations = append(s.facts.Authorizations, Authorization{
				Key: s.key(fmt.Sprintf("a%d", i)), N: s.attempt.N, Amount: usd(a.Capturable), Capturable: a.Capturable, State: AuthActive, Replaces: a.Key.ID,
			})
			s.tell(1)
		case step == "part" && a.Capturable > 1:
			s.take(a, rapid.Int64Range(1, a.Capturable-1).Draw(s.t, "part"), i)
			s.tell(0)
		case step == "all":
			s.take(a, a.Capturable, i)
			a.State, s.attempt.State = AuthCaptured, AttemptComplete
			s.tell(0)
			return
		case step == "void", step == "lapse":
			a.Capturable, a.State = 0, AuthVoided
			if step == "lapse" {
				a.State = AuthExpired
			}
			s.attempt.State = AttemptCanceled
			if len(s.facts.Captures) > 0 {
				s.attempt.State = AttemptComplete
			}
			s.tell(0)
			return
		}
	}
}

// take captures a part: at Stripe the one charge grows, at PayPal each is new.
func (s *story) take(a *Authorization, amount int64, i int) {
	a.Capturable -= amount
	if !s.paypal && len(s.facts.Captures) == 1 {
		s.facts.Captures[0].Amount.Minor += amount
		return
	}
	s.facts.Captures = append(s.facts.Captures, Capture{
		Key: s.key(fmt.Sprintf("c%d", i)), N: s.attempt.N, Auth: a.Key.ID, Amount: usd(amount), State: CaptureCompleted,
	})
}

func (s *story) captured() (sum int64) {
	for _, c := range s.facts.Captures {
		if c.State == CaptureCompleted {
			sum += c.Amount.Minor
		}
	}
	return sum
}

// afterwards are refunds, disputes, reversals and fees.
func (s *story) afterwards() {
	for range rapid.IntRange(0, 6).Draw(s.t, "afterwards") {
		c := s.facts.Captures[0]
		switch s.either("later", "refund", "refund", "settle", "settle", "dispute", "fee", "reversal") {
		case "refund":
			id := fmt.Sprintf("r%d", len(s.facts.Refunds))
			s.facts.Refunds = append(s.facts.Refunds, Refund{Key: s.key(id), Capture: c.Key.ID, Amount: usd(1), State: RefundPending})
			s.tell(0)
		case "settle":
			if len(s.facts.Refunds) == 0 {
				continue
			}
			r := &s.facts.Refunds[len(s.facts.Refunds)-1]
			switch r.State {
			case RefundPending:
				r.State = RefundState(s.either("refund", "succeeded", "failed", "canceled", "requires_action"))
			case RefundRequiresAction:
				r.State = RefundSucceeded
			case RefundSucceeded:
				r.State = RefundFailed
			case RefundFailed, RefundCanceled:
			}
			s.tell(0)
		case "dispute":
			s.dispute(c)
		case "reversal":
			if len(s.facts.Reversals) == 0 {
				s.facts.Reversals = []Reversal{{Key: s.key("v1"), Capture: c.Key.ID, Amount: usd(7)}}
				s.tell(0)
			}
		case "fee":
			s.facts.Fees = []Fee{{Key: s.key("t1"), Object: c.Key.ID, Fee: usd(59), Net: usd(941)}}
			s.tell(0)
		}
	}
}

// dispute goes on from where it is: opened, reviewed, lost, appealed, won.
func (s *story) dispute(c Capture) {
	if len(s.facts.Disputes) == 0 {
		s.facts.Disputes = []Dispute{{Key: s.key("d1"), Capture: c.Key.ID, Amount: c.Amount, Stage: "chargeback", Status: DisputeNeedsResponse, Withheld: c.Amount.Minor}}
		s.tell(0)
		return
	}
	d := &s.facts.Disputes[0]
	path := []DisputeStatus{DisputeNeedsResponse, DisputeUnderReview, DisputeLost, DisputeUnderReview, DisputeWon}
	stages := []string{"chargeback", "chargeback", "chargeback", "pre_arbitration", "pre_arbitration"}
	for i := range path[:len(path)-1] {
		if d.Status == path[i] && d.Stage == stages[i] {
			d.Status, d.Stage = path[i+1], stages[i+1]
			if d.Status == DisputeWon {
				d.Withheld = 0
			}
			s.tell(1)
			return
		}
	}
}

// Guards I6 on what really happens: whatever permutation, duplication and loss
// of snapshots we see, as long as the last one of each attempt arrives, ends in
// the same facts, status and amounts.
func TestTrueHistoryConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStory(t)
		s.run()
		last := map[int]int{}
		for i, o := range s.told {
			last[o.N] = i
		}
		var mail []Observation
		for i, o := range s.told {
			copies := rapid.IntRange(0, 2).Draw(t, "copies")
			if last[o.N] == i {
				copies = max(copies, 1)
			}
			for range copies {
				mail = append(mail, o)
			}
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		r.Shuffle(len(mail), func(i, j int) { mail[i], mail[j] = mail[j], mail[i] })
		got := feed(Facts{Terms: s.terms, Opened: s.opened}, mail)
		sameFacts(t, "facts", got, s.seen)
		if got.Status() != s.seen.Status() || digest(got.Amounts(nil)) != digest(s.seen.Amounts(nil)) {
			t.Fatalf("status %s and amounts %+v, want %s and %+v", got.Status(), got.Amounts(nil), s.seen.Status(), s.seen.Amounts(nil))
		}
	})
}

// Guards I3: the totals we compute at the end are the provider's own.
func TestTrueHistoryAmounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStory(t)
		s.run()
		var want Amounts
		want.Captured = s.captured()
		for _, r := range s.facts.Refunds {
			switch r.State {
			case RefundSucceeded:
				want.Refunded += r.Amount.Minor
			case RefundPending, RefundRequiresAction:
				want.RefundPending += r.Amount.Minor
			case RefundCanceled, RefundFailed:
			}
		}
		for _, d := range s.facts.Disputes {
			want.Disputed += d.Withheld
		}
		if want.Disputed == 0 {
			for _, r := range s.facts.Reversals {
				want.Disputed += r.Amount.Minor
			}
		}
		for i, a := range s.facts.Authorizations {
			if a.State == AuthActive && i == len(s.facts.Authorizations)-1 {
				want.Capturable = a.Capturable
			}
		}
		want.Refundable = max(0, want.Captured-want.Refunded-want.RefundPending-want.Disputed)
		got := s.seen.Amounts(nil)
		want.Expected, want.Authorized, want.Fee, want.Net = got.Expected, got.Authorized, got.Fee, got.Net
		if digest(got) != digest(want) {
			t.Fatalf("amounts\n got %+v\nwant %+v", got, want)
		}
	})
}

// Guards the published graph: whatever a provider truly does, told in order, the
// status moves along it, and ends where a reader of the story expects.
func TestTrueHistoryFollowsGraph(t *testing.T) {
	t.Parallel()
	met := map[Status]bool{}
	rapid.Check(t, func(t *rapid.T) {
		s := newStory(t)
		before := s.seen.Status()
		s.run()
		for i, status := range s.statuses {
			if !MayFollow(before, status) {
				t.Fatalf("step %d: %s -> %s is not in the graph; path %v", i, before, status, s.statuses)
			}
			before = status
			met[status] = true
		}
		if conflicts := s.seen.Conflicts(); len(conflicts) > 0 {
			t.Fatalf("an honest story conflicts: %v", conflicts)
		}
		if want := s.outcome(); before != want {
			t.Fatalf("ends %s, want %s; path %v", before, want, s.statuses)
		}
	})
	for _, want := range []Status{StatusRequiresAction, StatusProcessing, StatusAuthorized, StatusSucceeded, StatusFailed, StatusCanceled} {
		if !met[want] {
			t.Errorf("no story ever was %s: the generator is too narrow", want)
		}
	}
}

// outcome is what a person would call the end of the story, told without the
// status table.
func (s *story) outcome() Status {
	live := false
	for _, a := range s.facts.Authorizations {
		replaced := false
		for _, b := range s.facts.Authorizations {
			replaced = replaced || b.Replaces == a.Key.ID
		}
		live = live || !replaced && a.State == AuthActive
	}
	switch {
	case live:
		return StatusAuthorized
	case s.captured() > 0:
		return StatusSucceeded
	case s.attempt.State == AttemptExpired:
		return StatusRequiresAction
	case s.terms.Manual:
		return StatusCanceled
	default:
		return StatusFailed
	}
}

// Guards that a zone or a monotonic reading in an adapter's time is no change:
// Apply of the same snapshot gives the same payment back.
func TestApplyTwiceIsOnePayment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStory(t)
		s.run()
		p := newPayment(Facts{Terms: s.terms, Opened: s.opened})
		p.ExpiresAt = start.Add(24 * time.Hour)
		for _, o := range s.told {
			once, err := p.Apply(o, webhook, o.AsOf)
			if err != nil {
				t.Fatalf("apply: %v", err)
			}
			if once != p {
				once.Version++
			}
			twice, err := once.Apply(o, webhook, o.AsOf.Add(time.Hour))
			if err != nil || twice != once {
				t.Fatalf("a repeated snapshot changed the payment (err %v)", err)
			}
			p = once
		}
	})
}

// Guards that two objects at a provider that carry the id of one refund of ours,
// one failed and one not, are told once: a change that makes the same news again
// and again would never come to an end.
func TestTwoObjectsOfOneRefundAreNoNewsTwice(t *testing.T) {
	t.Parallel()
	failed, paid := refunded("re_1", "ch_1", 100, RefundFailed, 20), refunded("re_2", "ch_1", 100, RefundSucceeded, 21)
	failed.Operation, paid.Operation = "rfd_1", "rfd_1"
	p := newPayment(automatic(opened(1, "stripe")))
	p = observe(t, p, 1, 30, Facts{
		Attempts: []AttemptFact{session(1, AttemptComplete, 1000, 30)},
		Captures: []Capture{captured(1, "ch_1", 1000, 10)}, Refunds: []Refund{failed, paid},
	})
	p.Outbox, p.Alerts = nil, nil
	next := change(t, p, 40, func(c *Payment) error { c.NextSyncAt = at(50); return nil })
	if got := append(eventTypes(next), alertKinds(next)...); len(got) > 0 {
		t.Errorf("told again: %v", got)
	}
}
