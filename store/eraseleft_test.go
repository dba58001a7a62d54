package store_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// cher is a customer whose name no erasure overwrites in texts: it has no space, and could be any word.
var cher = payment.Customer{Ref: "cher", Email: annEmail, Name: "Cherilyn"}

// soldFor makes a payment that is over, canceled for a reason that names the customer.
func soldFor(t *testing.T, e store.Engine, n int, c payment.Customer, reason string) {
	t.Helper()
	simple(t, store.NewPayments(e), n, func(p *payment.Payment) {
		p.Answered, p.Request.Customer = true, c
		p.Facts = p.Facts.Merge(payment.Facts{Decisions: []payment.Decision{{ID: "c", Kind: payment.DecisionCanceled, Reason: reason, At: now}}})
	})
}

// byHand replaces a text in a document, as somebody does in the database.
func byHand(t *testing.T, e store.Engine, place, old, text string) {
	t.Helper()
	coll, id, _ := strings.Cut(place, "/")
	_, err := store.Update(named(t), e, coll, id, func(d store.Doc) (store.Doc, error) {
		d.Body = bytes.ReplaceAll(d.Body, []byte(old), []byte(text))
		return d, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Guards that no order says done while the customer's name stands in a text that no erasure overwrites, wherever that is:
// an operator's reason in the payment, a name of one word in an alert, in evidence, in the reason of a block. The same order
// again says where it stands, as often as it is given; and is done, and ends the earlier ones, once somebody rewrote it.
func TestTheSameErasureAgainFindsWhatTheFirstLeft(t *testing.T) {
	t.Parallel()
	for place, put := range map[string]func(t *testing.T, e store.Engine){
		"payments/pay_001": func(*testing.T, store.Engine) {},
		"alerts/inc_1": func(t *testing.T, e store.Engine) {
			a := incident("inc_1", now)
			a.Payment, a.Message = "pay_001", "Refund to Cherilyn failed."
			if err := store.NewAlerts(e).Raise(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		},
		"evidence/evd_1": func(t *testing.T, e store.Engine) {
			key := payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "dp_1"}
			simple(t, store.NewPayments(e), 2, func(p *payment.Payment) {
				p.Answered, p.Request.Customer = true, cher
				p.Facts = p.Facts.Merge(payment.Facts{
					Decisions: []payment.Decision{{ID: "c", Kind: payment.DecisionCanceled, At: now}},
					Disputes:  []payment.Dispute{{Key: key, Status: payment.DisputeLost, Amount: p.Facts.Terms.Amount}},
				})
			})
			evidence := gateway.Evidence{ID: "evd_1", Dispute: payment.DisputeID(key), Texts: map[string]string{"customer.name": "Cherilyn"}}
			if err := store.NewDisputes(e).PutEvidence(t.Context(), evidence); err != nil {
				t.Fatal(err)
			}
		},
		"risk_blocks/blk_1": func(t *testing.T, e store.Engine) {
			b := risk.Block{ID: "blk_1", App: "shop", Mode: payment.ModeTest, Subject: risk.Ref{Kind: risk.KindCustomer, Value: "cher"}}
			_, err := store.NewRisk(e).ChangeBlock(t.Context(), b, func(b risk.Block) (risk.Block, bool) {
				b.Reason, b.Active, b.CreatedAt, b.UpdatedAt = "Cherilyn called", true, now, now
				return b, true
			})
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			e := newMem(t)
			reason := ""
			if strings.HasPrefix(place, "payments/") {
				reason = "Cherilyn called"
			}
			soldFor(t, e, 1, cher, reason)
			put(t, e)
			order := store.Erasure{Ref: "cher", Email: annEmail, Texts: true}
			for n := range 3 {
				got := eraseAs(t, e, fmt.Sprint("ers_", n), order)
				if got.State != store.ErasureIncomplete || got.Left() != 1 || !slices.Equal(got.LeftIn, []string{place}) || !slices.Equal(got.Names, []string{"Cherilyn"}) || got.Emails != nil {
					t.Fatalf("order %d: %+v", n, got)
				}
			}
			// Another customer of the same address ends nothing of hers.
			if got := eraseAs(t, e, "ers_other", store.Erasure{Ref: "other", Email: annEmail, Texts: true}); got.State != store.ErasureIncomplete {
				t.Errorf("of another customer: %+v", got)
			}
			byHand(t, e, place, "Cherilyn", "the customer")
			if got := eraseAs(t, e, "ers_last", order); got.State != store.ErasureDone {
				t.Errorf("after it was rewritten: %+v", got)
			}
			if found := standing(t, e, "Cherilyn"); len(found) > 0 {
				t.Errorf("the name stands in %q", found)
			}
		})
	}
}

// Guards what could not be read when the customer was erased: the erasure keeps what it looked for, and the same order
// takes it once the key is back.
func TestErasureTakesWhatCouldNotBeReadBefore(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	before, both := sealed(t, raw, "k1", "k1"), sealed(t, raw, "k1", "k1", "lost")
	soldFor(t, before, 1, payment.Customer{Ref: "ann", Email: annEmail, Name: annName}, "")
	r := inbox.Record{ID: "in_1", State: inbox.Done, Digest: strings.Repeat("d", 64), ReceivedAt: now}
	if _, _, err := store.NewInbox(sealed(t, raw, "lost", "lost")).Insert(t.Context(), r, []byte(`{"email":"`+annEmail+`"}`)); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		got := eraseAs(t, before, fmt.Sprint("ers_", n), store.Erasure{Ref: "ann"})
		if got.State != store.ErasureIncomplete || !slices.Equal(got.LeftIn, []string{"inbox/in_1"}) || !slices.Equal(got.Emails, []string{annEmail}) {
			t.Fatalf("order %d: %+v", n, got)
		}
	}
	got := eraseAs(t, both, "ers_last", store.Erasure{Ref: "ann"})
	if body, err := store.NewInbox(both).Body(t.Context(), "in_1"); got.State != store.ErasureDone || err != nil || len(body) > 0 {
		t.Errorf("%+v, the body is %s, %v", got, body, err)
	}
}

// Guards an order by id and address against a later one by the id alone, which would end it: the address stands in
// somebody else's payment, and a guest's name in a payment that was the customer's by its address only.
func TestErasureByRefEndsNoneOfAnAddressThatStands(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	soldFor(t, e, 1, payment.Customer{Ref: "ann", Email: annEmail, Name: annName}, "")
	soldFor(t, e, 2, payment.Customer{Ref: "bob", Email: "bob@post.example"}, "paid by "+annEmail)
	soldFor(t, e, 3, payment.Customer{Email: annEmail, Name: "Cherilyn"}, "Cherilyn called")
	for n, order := range []store.Erasure{{Ref: "ann", Email: annEmail}, {Ref: "ann"}} {
		got := eraseAs(t, e, fmt.Sprint("ers_", n), order)
		if got.State != store.ErasureIncomplete || !slices.Equal(got.LeftIn, []string{"payments/pay_002", "payments/pay_003"}) {
			t.Errorf("order %d: %+v", n, got)
		}
	}
	byHand(t, e, "payments/pay_002", annEmail, "her")
	byHand(t, e, "payments/pay_003", "Cherilyn called", "")
	if got := eraseAs(t, e, "ers_last", store.Erasure{Ref: "ann"}); got.State != store.ErasureDone || len(standing(t, e, annEmail)) > 0 || len(standing(t, e, "Cherilyn")) > 0 {
		t.Errorf("%+v", got)
	}
}

// forgetful makes an incomplete erasure one of a program that kept ids of payments and no names.
func forgetful(t *testing.T, e store.Engine, id string, leftIn ...string) {
	t.Helper()
	_, err := store.Update(named(t), e, "erasures", id, func(d store.Doc) (store.Doc, error) {
		var r struct {
			Schema  int            `json:"schema"`
			Erasure map[string]any `json:"erasure"`
		}
		if err := json.Unmarshal(d.Body, &r); err != nil {
			return d, err
		}
		delete(r.Erasure, "Knows")
		delete(r.Erasure, "LeftIn")
		r.Erasure["Names"], r.Erasure["Emails"] = nil, nil
		if leftIn != nil {
			r.Erasure["LeftIn"] = leftIn
		}
		var err error
		d.Body, err = json.Marshal(r)
		return d, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Guards customers whose first erasure was one of an older program, which forgot the name it had found: texts that are
// erased since then are no doubt any more, anything else in which it was found stays one, and the erasure that forgot is
// named with it.
func TestErasureAfterOneThatForgotWhatItFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		texts  []bool // of the orders; the first one forgets
		reason string
		alert  string
		leftIn []string
		last   string
		place  []string
	}{
		"metadata":                       {[]bool{false, true}, "", "", []string{"pay_001"}, store.ErasureDone, nil},
		"metadata, without its payments": {[]bool{false, true}, "", "", nil, store.ErasureDone, nil},
		"metadata that stays":            {[]bool{false, false}, "", "", []string{"pay_001"}, store.ErasureIncomplete, []string{"erasures/ers_0", "payments/pay_001"}},
		"metadata that stays, unlisted":  {[]bool{false, false}, "", "", nil, store.ErasureIncomplete, []string{"erasures/ers_0", "payments/pay_001"}},
		"a reason":                       {[]bool{true, true}, "Cherilyn called", "", []string{"pay_001"}, store.ErasureIncomplete, []string{"erasures/ers_0", "payments/pay_001"}},
		"an alert":                       {[]bool{true, true}, "", "Refund to Cherilyn failed.", nil, store.ErasureIncomplete, []string{"erasures/ers_0", "alerts/inc_1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newMem(t)
			soldFor(t, e, 1, cher, test.reason)
			_, err := store.Update(named(t), e, "payments", "pay_001", func(d store.Doc) (store.Doc, error) {
				d.Body = bytes.Replace(d.Body, []byte(`"Request":{`), []byte(`"Request":{"Metadata":{"note":"for Cherilyn"},`), 1)
				return d, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if test.alert != "" {
				a := incident("inc_1", now)
				a.Payment, a.Message = "pay_001", test.alert
				if err := store.NewAlerts(e).Raise(t.Context(), a); err != nil {
					t.Fatal(err)
				}
			}
			if got := eraseAs(t, e, "ers_0", store.Erasure{Ref: "cher", Texts: test.texts[0]}); got.State != store.ErasureIncomplete {
				t.Fatalf("%+v", got)
			}
			forgetful(t, e, "ers_0", test.leftIn...)
			for n := range 2 {
				got := eraseAs(t, e, fmt.Sprint("ers_", n+1), store.Erasure{Ref: "cher", Texts: test.texts[1]})
				if got.State != test.last || !slices.Equal(got.LeftIn, test.place) {
					t.Errorf("order %d: %+v", n+1, got)
				}
			}
		})
	}
}

// Guards the way out of what an older program forgot, as docs/privacy.md tells it: whoever says in that erasure's document
// what the names were has the next one look for them. It is not done while one stands, is done afterwards, and leaves no
// name in that document; also where records are sealed.
func TestWhatAnErasureForgotCanBeSaid(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	e := sealed(t, raw, "k1", "k1")
	soldFor(t, e, 1, cher, "Cherilyn called")
	order := store.Erasure{Ref: "cher", Texts: true}
	if got := eraseAs(t, e, "ers_0", order); got.State != store.ErasureIncomplete {
		t.Fatalf("%+v", got)
	}
	forgetful(t, e, "ers_0", "pay_001")
	byHand(t, raw, "erasures/ers_0", `"erasure":{`, `"erasure":{"Knows":true,`)
	byHand(t, raw, "erasures/ers_0", `"Names":null`, `"Names":["Cherilyn"]`)
	if got := eraseAs(t, e, "ers_1", order); got.State != store.ErasureIncomplete || !slices.Equal(got.LeftIn, []string{"payments/pay_001"}) || !slices.Equal(got.Names, []string{"Cherilyn"}) {
		t.Errorf("while the name stands: %+v", got)
	}
	byHand(t, e, "payments/pay_001", "Cherilyn called", "the customer called")
	if got := eraseAs(t, e, "ers_2", order); got.State != store.ErasureDone || len(standing(t, e, "Cherilyn")) > 0 {
		t.Errorf("afterwards: %+v, the name stands in %q", got, standing(t, e, "Cherilyn"))
	}
	if was, err := store.NewErasures(e).Get(t.Context(), "ers_0"); err != nil || was.FinishedBy != "ers_2" || was.Names != nil {
		t.Errorf("the one that forgot: %+v, %v", was, err)
	}
}
