package payment

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// Guards the story an app is told: creation tells its answer and not the wait
// for it, then one event per step, each with an id of its own.
func TestEventsOfAPlainPayment(t *testing.T) {
	t.Parallel()
	p := New("pay_1", "shop", ModeTest, Terms{Amount: usd(1000)}, Request{ExpiresIn: time.Hour}, "token", start)
	p = change(t, p, 1, func(c *Payment) error { return c.OpenAttempt("stripe", "stripe-eu", command("x", 1)) })
	wantDiff(t, "while being created", eventTypes(p), []string{})
	p = settle(t, p, onlyOp(t, p, OpCreate).ID, 2, Outcome{State: OpDone, Ref: "cs_1"}, snapshot(1, 2, attempts(session(1, AttemptOpen, 1000, 2))))
	p = observe(t, p, 1, 9, with(attempts(session(1, AttemptComplete, 1000, 9)), captures(captured(1, "c1", 1000, 8))))
	p = change(t, p, 20, func(c *Payment) error { return c.RequestRefund(400, "other", command("rfd_1", 20)) })
	r := refunded("re_1", "c1", 400, RefundPending, 21)
	r.Operation = "rfd_1"
	p = settle(t, p, "rfd_1", 22, Outcome{State: OpDone, Ref: "re_1"}, &Observation{Facts: Facts{Refunds: []Refund{r}}})
	for _, second := range []int{30, 31} { // told twice, an event once
		r.State, r.AsOf = RefundSucceeded, at(second)
		p = observe(t, p, 1, second, Facts{Refunds: []Refund{r}})
	}
	r.State = RefundFailed
	p = observe(t, p, 1, 40, Facts{Refunds: []Refund{r}})
	wantDiff(t, "events", eventTypes(p), []string{
		"payment.requires_action", "payment.succeeded", "payment.captured", "refund.created", "refund.succeeded", "refund.failed",
	})
	wantDiff(t, "alerts", alertKinds(p), []string{"refund_failed"})
	ids := map[string]bool{}
	for _, e := range p.Outbox {
		want := p.ID
		if strings.HasPrefix(e.Type, "refund.") {
			want = "rfd_1"
		}
		if ids[e.ID] || e.Object != want {
			t.Errorf("event %+v: id used before, or about %q instead of %q", e, e.Object, want)
		}
		ids[e.ID] = true
	}
	if p.SettledBy != LayerWebhook {
		t.Errorf("settled by %s, want the layer that brought the money", p.SettledBy)
	}
}

// Guards that a payment without a provider is told and has a history from its
// first write, and that a second look at it tells nothing more.
func TestEventOfAPaymentThatWaitsForAChoice(t *testing.T) {
	t.Parallel()
	p := New("pay_1", "shop", ModeTest, Terms{Amount: usd(1000)}, Request{ExpiresIn: time.Hour}, "token", start)
	nothing := func(*Payment) error { return nil }
	created, err := p.Change(apiCall, at(0), nothing)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantDiff(t, "events", eventTypes(created), []string{"payment.requires_action"})
		if len(created.History) != 1 || created.History[0].Source != apiCall {
			t.Fatalf("history %+v", created.History)
		}
		created = change(t, created, 1, nothing)
	}
}

// Guards that a refund made at the provider has one id for ever, told once.
func TestEventsOfAnOutsideRefund(t *testing.T) {
	t.Parallel()
	p := paidPayment(t)
	n := len(p.Outbox)
	r := refunded("re_9", "c1", 100, RefundSucceeded, 20)
	for i := range 3 {
		r.AsOf = at(20 + i)
		p = observe(t, p, 1, 20+i, Facts{Refunds: []Refund{r}})
	}
	wantDiff(t, "events", eventTypes(p)[n:], []string{"refund.created", "refund.succeeded"})
	if p.Outbox[n].Object != RefundID(r) || p.Refunds()[0].ID != RefundID(r) {
		t.Errorf("the refund is %s in the event and %s in the list", p.Outbox[n].Object, p.Refunds()[0].ID)
	}
}

// Guards fraud warnings and reviews: a warning is told and alerted once, one that can
// no longer be acted on stays so, and a review that was closed stays closed.
func TestWarningsAndReviews(t *testing.T) {
	t.Parallel()
	p := paidPayment(t)
	n := len(p.Outbox)
	w := FraudWarning{Key: stripeKey("issfr_1"), Capture: "c1", Actionable: true, FraudType: "misc", Stamp: stamp(20, 20)}
	r := Review{Key: stripeKey("prv_1"), Capture: "c1", Open: true, Opened: "rule", Stamp: stamp(20, 20)}
	p = observe(t, p, 1, 21, Facts{Warnings: []FraudWarning{w}, Reviews: []Review{r}})
	over, closed := w, r
	over.Actionable = false
	closed.Open, closed.Closed = false, "approved"
	p = observe(t, p, 1, 22, Facts{Warnings: []FraudWarning{over}, Reviews: []Review{closed}})
	p = observe(t, p, 1, 23, Facts{Warnings: []FraudWarning{w}, Reviews: []Review{r}}) // late news
	wantDiff(t, "events", eventTypes(p)[n:], []string{"fraud_warning.created"})
	wantDiff(t, "alerts", alertKinds(p), []string{"fraud_warning"})
	wantDiff(t, "warnings", p.Facts.Warnings, []FraudWarning{over})
	wantDiff(t, "reviews", p.Facts.Reviews, []Review{closed})
	if p.Outbox[n].Object != FraudWarningID(w.Key) {
		t.Errorf("the event is about %s", p.Outbox[n].Object)
	}
	again := paidPayment(t)
	again = observe(t, again, 1, 21, Facts{Warnings: []FraudWarning{over}})
	wantDiff(t, "alerts of a warning without a remedy", alertKinds(again), []string{})
}

// Guards disputes: each turn is told once, reading the same dispute again is no
// news, and none of them is final.
func TestEventsOfADispute(t *testing.T) {
	t.Parallel()
	p := paidPayment(t)
	n := len(p.Outbox)
	d := Dispute{Key: stripeKey("d1"), Capture: "c1", Amount: usd(1000), Stage: "inquiry", Status: DisputeNeedsResponse, DueBy: at(9999), Stamp: stamp(20, 20)}
	second := 20
	see := func(edit func(*Dispute)) {
		for range 2 {
			second++
			edit(&d)
			d.AsOf = at(second)
			d.DueBy = d.DueBy.In(time.FixedZone("", second)) // the same moment, written differently
			p = observe(t, p, 1, second, Facts{Disputes: []Dispute{d}})
		}
	}
	see(func(*Dispute) {})
	if p.Amounts().Disputed != 0 {
		t.Error("an inquiry withholds nothing")
	}
	see(func(d *Dispute) { d.Stage, d.Withheld = "chargeback", 1000 })
	if got := p.Amounts(); got.Disputed != 1000 || got.Refundable != 0 {
		t.Errorf("amounts %+v", got)
	}
	see(func(d *Dispute) { d.Status = DisputeUnderReview })
	see(func(d *Dispute) { d.Status = DisputeLost })
	see(func(d *Dispute) { d.Status = DisputeUnderReview })
	see(func(d *Dispute) { d.Status, d.Withheld = DisputeWon, 0 })
	see(func(d *Dispute) { d.Status = DisputeNeedsResponse })
	see(func(d *Dispute) { d.Status = DisputeClosed })
	wantDiff(t, "events", eventTypes(p)[n:], []string{
		"dispute.opened", "dispute.updated", "dispute.updated", "dispute.lost", "dispute.reopened", "dispute.won", "dispute.reopened", "dispute.closed",
	})
	wantDiff(t, "alerts", alertKinds(p), []string{"dispute_opened", "dispute_lost", "dispute_won"})
	wantStatus(t, p, StatusSucceeded)
}

// Guards that a human hears of a dispute that its provider calls by a word that nobody knows,
// at whatever point that begins, and once.
func TestUnclearDisputeIsTold(t *testing.T) {
	t.Parallel()
	d := Dispute{Key: stripeKey("d1"), Capture: "c1", Amount: usd(1000), Stage: "chargeback", Status: DisputeUnderReview, Stamp: stamp(20, 20)}
	for name, before := range map[string]func(*Dispute){
		"not known before":    nil,
		"under review before": func(*Dispute) {},
		"waiting before":      func(d *Dispute) { d.Status = DisputeNeedsResponse },
	} {
		p, want := paidPayment(t), []string{"dispute_opened", "dispute_opened"}
		if before != nil {
			was := d
			before(&was)
			p = observe(t, p, 1, 21, Facts{Disputes: []Dispute{was}})
			wantDiff(t, name+": opened", alertKinds(p), want[:1])
		}
		for second := 22; second < 24; second++ {
			now := d
			now.Status, now.Unclear, now.AsOf = DisputeNeedsResponse, true, at(second)
			p = observe(t, p, 1, second, Facts{Disputes: []Dispute{now}})
		}
		wantDiff(t, name, alertKinds(p), want)
	}
}

// Guards that a human hears of late money however it comes: at once, by way of
// processing, or on an attempt that was abandoned.
func TestLateMoneyAlerts(t *testing.T) {
	t.Parallel()
	done := attempts(session(1, AttemptComplete, 1000, 9))
	paid := with(done, captures(captured(1, "c1", 1000, 8)))
	expired := with(automatic(opened(1, "stripe")), attempts(session(1, AttemptExpired, 1000, 5)), decisions(decision(DecisionDeadline, 0)))
	abandoned := with(automatic(opened(1, "stripe")), attempts(session(1, AttemptOpen, 1000, 5)), decisions(decision(DecisionAbandoned, 1)))
	for _, c := range []struct {
		name string
		from Facts
		seen []Facts
		want []string
	}{
		{"expired", expired, []Facts{paid}, []string{"late_money"}},
		{"expired, pending first", expired, []Facts{with(done, captures(pendingCapture("c1"))), paid}, []string{"late_money"}},
		{"failed", with(automatic(opened(1, "stripe")), attempts(session(1, AttemptFailed, 1000, 5))), []Facts{paid}, []string{"late_money"}},
		{"abandoned, still to pay", abandoned, []Facts{paid}, []string{"late_money"}},
		{"abandoned and canceled", with(abandoned, decisions(decision(DecisionCanceled, 0))), []Facts{paid}, []string{"late_money", "late_money"}},
		{"in time", with(automatic(opened(1, "stripe")), attempts(session(1, AttemptOpen, 1000, 5))), []Facts{paid}, []string{}},
	} {
		p := newPayment(c.from)
		for i, f := range c.seen {
			p = observe(t, p, 1, 9+i, f)
		}
		wantStatus(t, p, StatusSucceeded)
		wantDiff(t, c.name, alertKinds(p), c.want)
	}
}

// Guards that a capture made outside is told, also beside our own requests, and
// that our own never is, in whichever order its answer and its sighting come.
func TestOutsideCaptureAlerts(t *testing.T) {
	t.Parallel()
	rest := func(left int64, asOf int, c ...Capture) Facts {
		return with(attempts(session(1, AttemptAuthorized, 5000, asOf)), authorizations(authorized(1, "a1", 5000, left, asOf)), captures(c...))
	}
	outside := observe(t, heldPayment(t), 1, 15, rest(4700, 15, captured(1, "cx", 300, 14)))
	wantDiff(t, "outside only", alertKinds(outside), []string{"outside_capture"})
	wantStatus(t, outside, StatusAuthorized)

	pending := captured(1, "cx", 300, 14)
	pending.State = CapturePending
	wantDiff(t, "outside, pending", alertKinds(observe(t, heldPayment(t), 1, 15, rest(4700, 15, pending))), []string{})
	left := newPayment(with(heldPayment(t).Facts, decisions(decision(DecisionAbandoned, 1))))
	left = observe(t, left, 1, 15, rest(4700, 15, captured(1, "cx", 300, 14)))
	wantDiff(t, "outside, abandoned", alertKinds(left), []string{"late_money"})

	p := change(t, heldPayment(t), 20, func(c *Payment) error { return c.RequestCapture(1500, false, command("k1", 20)) })
	p = observe(t, p, 1, 21, rest(3500, 21, captured(1, "c1", 1500, 21))) // the webhook is faster than the answer
	p = settle(t, p, "k1", 22, Outcome{State: OpDone, Ref: "c1"}, nil)
	wantDiff(t, "ours", alertKinds(p), []string{})
	p = observe(t, p, 1, 30, rest(3200, 30, captured(1, "c2", 300, 30)))
	wantDiff(t, "ours and outside", alertKinds(p), []string{"outside_capture"})
}

// Guards that a conflict is told once, and told anew when it grows.
func TestConflictAlerts(t *testing.T) {
	t.Parallel()
	p := conflicted(t)
	done := func(asOf int) Facts { return attempts(session(1, AttemptComplete, 1000, asOf)) }
	p = observe(t, p, 1, 10, done(10))
	wantDiff(t, "once", alertKinds(p), []string{"conflicted_payment"})
	p.Alerts = nil // stored
	p = observe(t, p, 1, 11, done(11))
	wantDiff(t, "stored, seen again", alertKinds(p), []string{})
	p = observe(t, p, 1, 12, with(done(12), captures(captured(1, "c3", 1000, 11))))
	wantDiff(t, "a third capture", alertKinds(p), []string{"conflicted_payment"})
}

// Guards Change: the same pointer where nothing changed, nothing changed where fn
// erred, and a history entry that says who, why, before and after (I8).
func TestChange(t *testing.T) {
	t.Parallel()
	p := openPayment(t)
	if got := change(t, p, 99, func(*Payment) error { return nil }); got != p {
		t.Error("nothing changed, and yet another payment came back")
	}
	boom := errors.New("boom")
	before := digest(*p)
	if got, err := p.Change(apiCall, at(20), func(c *Payment) error { c.Facts = Facts{}; return boom }); got != nil || !errors.Is(err, boom) {
		t.Errorf("got %v, %v", got, err)
	}
	if digest(*p) != before {
		t.Error("an error changed the payment")
	}
	paid, err := p.Apply(*snapshot(1, 30, with(attempts(session(1, AttemptComplete, 1000, 30)), captures(captured(1, "c1", 1000, 29)))), webhook, at(31))
	if err != nil {
		t.Fatal(err)
	}
	h := paid.History[len(paid.History)-1]
	if h.Source != webhook || h.Before.Status != StatusRequiresAction || h.After.Status != StatusSucceeded || h.After.Amounts.Captured != 1000 ||
		h.Version != p.Version+1 || !h.At.Equal(at(31)) || !paid.UpdatedAt.Equal(at(31)) {
		t.Errorf("history %+v", h)
	}
	if digest(*p) != before {
		t.Error("Change touched the payment it was given")
	}
	fee := with(attempts(session(1, AttemptComplete, 1000, 40)), Facts{Fees: []Fee{{Key: stripeKey("t1"), Object: "c1", Fee: usd(59), Net: usd(941)}}})
	if got := observe(t, paid, 1, 40, fee); len(got.History) != len(paid.History)+1 || len(got.Outbox) != len(paid.Outbox) {
		t.Error("a fee is history and no event")
	}
	if got := observe(t, paid, 1, 41, attempts(session(1, AttemptComplete, 1000, 41))); len(got.History) != len(paid.History) {
		t.Error("another reading is no history")
	}
}

// Guards Clone: it is deep, so that a closure under compare-and-swap that runs
// twice starts from the same payment twice.
func TestCloneIsDeep(t *testing.T) {
	t.Parallel()
	p := heldPayment(t)
	p = change(t, p, 20, func(c *Payment) error { return c.RequestCapture(1500, false, command("k1", 20)) })
	p.Request.Metadata = map[string]string{"order": "7"}
	p.Request.LineItems = []LineItem{{Name: "book"}}
	p.Operations[0].Params = []byte("params")
	p.Outbox[0].Body = []byte("body")
	p.Alerts = []Alert{{Kind: "late_money"}}
	p.Facts.Decisions[0].Objects = []string{"c1"}
	before := digest(*p)
	c := p.Clone()
	if !c.Equal(p) {
		t.Fatal("a clone differs")
	}
	c.Request.Metadata["order"], c.Request.LineItems[0].Name = "8", "pen"
	c.Operations[0].Params[0], c.Operations[0].State = 'X', OpDone
	c.Outbox[0].Body[0], c.Outbox[0].Type = 'X', "x"
	c.Alerts[0].Kind, c.History[0].Version = "x", 77
	c.Facts.Decisions[0].Objects[0], c.Facts.Decisions[0].Kind = "c2", "x"
	c.Facts.Opened[0].Account, c.Facts.Attempts[0].State, c.Facts.Authorizations[0].Capturable = "x", "x", 1
	if digest(*p) != before {
		t.Error("changing a clone changed the payment")
	}
	if c.Equal(p) {
		t.Error("Equal sees no difference")
	}
}

// Guards ids: derived ids depend on every part and on where it ends, and keys
// fit the 38 characters to which PayPal once cut them.
func TestDerivedIDs(t *testing.T) {
	t.Parallel()
	ids := []string{
		DeriveID("op", "ab", "c"), DeriveID("op", "a", "bc"), DeriveID("op", "abc"), DeriveID("op", "abc", ""), DeriveID("rfd", "abc"),
		ProviderKey("op", 0), ProviderKey("op", 1), ProviderKey("op0", 0),
		DisputeID(stripeKey("x")), DisputeID(paypalKey("x")), RefundID(Refund{Key: stripeKey("x")}),
	}
	for i, id := range ids {
		if slices.Index(ids, id) != i {
			t.Errorf("%s twice", id)
		}
		if len(id) > 38 {
			t.Errorf("%s has %d characters", id, len(id))
		}
	}
	// Stored ids and keys at providers were made so: no release may make others.
	for got, want := range map[string]string{
		DeriveID("rfd", "a", "b"):                    "rfd_r6za55r45vaul7bota774wl5dx",
		DeriveID("x", strings.Repeat("a", 300), "é"): "x_fmmzwsa3xkhbwkipru55heu4dj",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := RefundID(Refund{Key: stripeKey("x"), Operation: "rfd_1"}); got != "rfd_1" {
		t.Errorf("our own refund is %s", got)
	}
}

// Guards the sums that stand beside captures: reversals that a dispute or refund
// explains are not counted twice, fees and nets are kept per currency.
func TestDisputedAndFees(t *testing.T) {
	t.Parallel()
	base := paidPayment(t).Facts
	eur := func(minor int64) Money { return Money{Minor: minor, Currency: "eur"} }
	dispute := func(stage string, withheld int64) Facts {
		return Facts{Disputes: []Dispute{{Key: stripeKey("d1"), Capture: "c1", Amount: usd(600), Stage: stage, Status: DisputeUnderReview, Withheld: withheld}}}
	}
	lostInquiry := func(withheld int64) Facts {
		f := dispute("inquiry", withheld)
		f.Disputes[0].Status = DisputeLost
		return f
	}
	unclearInquiry := func(withheld int64) Facts {
		f := dispute("inquiry", withheld)
		f.Disputes[0].Status, f.Disputes[0].Unclear = DisputeNeedsResponse, true
		return f
	}
	reversal := func(id, dispute string) Facts {
		return Facts{Reversals: []Reversal{{Key: stripeKey(id), Capture: "c1", Amount: usd(70), Dispute: dispute}}}
	}
	for _, c := range []struct {
		name string
		f    Facts
		want int64
	}{
		{"inquiry", dispute("inquiry", 600), 0},
		{"inquiry that was lost", lostInquiry(600), 600},
		{"inquiry that ended nobody knows how", unclearInquiry(600), 600},
		{"inquiry that was lost, and its reversal", with(lostInquiry(70), reversal("v1", "")), 70},
		{"lost, settled by a refund, and reported as a reversal too", with(lostInquiry(0), reversal("v1", ""), Facts{Refunds: []Refund{refunded("r1", "c1", 70, RefundSucceeded, 9)}}), 0},
		{"inquiry that keeps nothing explains nothing", with(dispute("inquiry", 600), reversal("v1", "")), 70},
		{"chargeback", dispute("chargeback", 600), 600},
		{"chargeback after a part was given back", with(dispute("chargeback", 600), Facts{Refunds: []Refund{refunded("r1", "c1", 70, RefundSucceeded, 9)}}), 600},
		{"reversal alone", reversal("v1", ""), 70},
		{"reversal of a dispute that withholds", with(dispute("chargeback", 600), reversal("v1", "d1")), 600},
		{"reversal of the same capture, dispute not named", with(dispute("chargeback", 600), reversal("v1", "")), 600},
		{"reversal of a dispute that was won", with(dispute("chargeback", 0), reversal("v1", "d1")), 0},
		{"reversal of the same capture, dispute neither named nor withholding", with(dispute("chargeback", 0), reversal("v1", "")), 70},
		{"reversal that is a refund", with(reversal("r1", ""), Facts{Refunds: []Refund{refunded("r1", "c1", 70, RefundSucceeded, 9)}}), 0},
	} {
		if got := with(base, c.f).Amounts(nil).Disputed; got != c.want {
			t.Errorf("%s: disputed %d, want %d", c.name, got, c.want)
		}
	}
	fees := Facts{Fees: []Fee{
		{Key: stripeKey("t1"), Object: "c1", Fee: usd(30), Net: usd(970)},
		{Key: stripeKey("t2"), Object: "r1", Fee: usd(5), Net: usd(-105)},
		{Key: stripeKey("t3"), Object: "c2", Fee: eur(7), Net: eur(93)},
	}}
	a := with(base, fees).Amounts(nil)
	wantDiff(t, "fee", a.Fee, []Money{eur(7), usd(35)})
	wantDiff(t, "net", a.Net, []Money{eur(93), usd(865)})
}

// Guards that net is what is left at both providers: what a dispute or a reversal took counts once, whether the provider
// books it (Stripe) or not (PayPal), and never while no net is known.
func TestNetAfterDisputes(t *testing.T) {
	t.Parallel()
	base := paidPayment(t).Facts
	booked := func(key, object string, fee, net int64) Facts {
		return Facts{Fees: []Fee{{Key: stripeKey(key), Object: object, Fee: usd(fee), Net: usd(net)}}}
	}
	sold := booked("t1", "c1", 30, 970)
	backed := func(f Facts, minor int64) Facts {
		f.Disputes[0].Returned = minor
		return f
	}
	dispute := func(status DisputeStatus, withheld int64) Facts {
		return Facts{Disputes: []Dispute{{Key: stripeKey("d1"), Capture: "c1", Amount: usd(600), Stage: "chargeback", Status: status, Withheld: withheld}}}
	}
	for name, c := range map[string]struct {
		f    Facts
		want []Money
	}{
		"sold":                              {sold, []Money{usd(970)}},
		"lost":                              {with(sold, dispute(DisputeLost, 600)), []Money{usd(370)}},
		"lost, with its fee":                {with(sold, dispute(DisputeLost, 600), booked("d1:1", "d1", 20, -20)), []Money{usd(350)}},
		"lost, and booked":                  {with(sold, dispute(DisputeLost, 600), booked("t2", "d1", 15, -615)), []Money{usd(355)}},
		"won":                               {with(sold, dispute(DisputeWon, 0)), []Money{usd(970)}},
		"lost, a part of the fee came back": {with(sold, backed(dispute(DisputeLost, 580), 20)), []Money{usd(390)}},
		"won, and booked":                   {with(sold, dispute(DisputeWon, 0), booked("t2", "d1", 15, -615), booked("t3", "d1", 0, 600)), []Money{usd(955)}},
		"reversed":                          {with(sold, reversal("v1", "c1", 400)), []Money{usd(570)}},
		"reversed by a dispute":             {with(sold, dispute(DisputeLost, 600), reversal("v1", "c1", 600)), []Money{usd(370)}},
		"nothing known of what it was sold": {dispute(DisputeLost, 600), nil},
	} {
		wantDiff(t, name, with(base, c.f).Amounts(nil).Net, c.want)
	}
}

// Guards the sum check on refunds: more given back than was taken reaches a
// human, once, and only when a complete snapshot covers both.
func TestOverRefundedAlert(t *testing.T) {
	t.Parallel()
	p := paidPayment(t)
	done := func(asOf int) Facts { return attempts(session(1, AttemptComplete, 1000, asOf)) }
	p = observe(t, p, 1, 20, with(done(20), Facts{Refunds: []Refund{refunded("r1", "c1", 600, RefundSucceeded, 19)}}))
	more := Facts{Refunds: []Refund{refunded("r2", "c1", 401, RefundSucceeded, 21)}}
	ahead, err := p.Apply(Observation{N: 1, AsOf: at(21), Facts: more}, webhook, at(21))
	if err != nil {
		t.Fatal(err)
	}
	wantDiff(t, "ahead of its snapshot", alertKinds(ahead), []string{})
	ahead.Version++
	p = observe(t, ahead, 1, 22, with(done(22), more))
	wantDiff(t, "covered", alertKinds(p), []string{"over_refunded"})
	if a := p.Amounts(); a.Refunded != 1001 || a.Refundable != 0 {
		t.Errorf("amounts %+v: what happened is not clipped, what may still be done is", a)
	}
}
