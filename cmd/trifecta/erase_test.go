package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/sqlite"
)

// Promise: an erasure that left something fails, says where that is and what helps, here and at a server; and so does the
// same one again.
func TestEraseSaysWhereTheCustomerIsLeft(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.healthy()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(c.dir, "shop.db"), Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	terms := payment.Terms{Amount: payment.Money{Minor: 1000, Currency: "usd"}}
	p := payment.New("pay_left", "shop", payment.ModeTest, terms, payment.Request{ExpiresIn: time.Hour}, "token", at)
	p.Version, p.Answered, p.Request.Customer = 1, true, payment.Customer{Ref: "ann", Name: "Ann Canary"}
	p.Facts = p.Facts.Merge(payment.Facts{Decisions: []payment.Decision{{ID: "c", Kind: payment.DecisionCanceled, Reason: "Ann Canary called", At: at}}})
	if err := store.NewPayments(e).Insert(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	here := []string{"erase", "customer", "--config", c.file, "--app", "shop", "--ref", "ann", "--metadata", "--reason", "asked"}
	for range 2 {
		failsSaying(t, c.environ, here, []string{"1 records still hold", ": payments/pay_left\n", "--metadata", "reason of a decision", "What is left", "again"})
	}
	leftIn := `["alerts/inc_1"]`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"id":"ers_1","state":"incomplete","left":2,"left_in":` + leftIn + `}`))
	}))
	t.Cleanup(server.Close)
	there := []string{"erase", "customer", "--server", server.URL, "--app", "shop", "--ref", "ann", "--reason", "asked"}
	failsSaying(t, []string{operatorKeyVariable + "=tk_op_x"}, there, []string{"alerts/inc_1 and perhaps more", "--ref, --email and --metadata in one order"})
	leftIn = `["erasures/ers_0","alerts/inc_1"]`
	failsSaying(t, []string{operatorKeyVariable + "=tk_op_x"}, there, []string{"alerts/inc_1 and perhaps more", "an older program found and forgot"})
}
