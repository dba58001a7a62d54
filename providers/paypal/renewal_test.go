package paypal

import (
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Promise (I3): what was captured before a hold was renewed for the rest is not taken off
// that rest a second time: all of the rest is held, can be captured, and ends the payment.
func TestRenewedForTheRest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ taken, rest int64 }{{499, 1500}, {1200, 799}} {
		l := newLab(t)
		p := l.paid(t, true)
		first := p.attempt.Refs.Authorization
		if _, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{Attempt: p.attempt, Target: first, Amount: payment.Money{Minor: c.taken, Currency: "usd"}}, "part"); err != nil {
			t.Fatal(err)
		}
		l.advance(t, 4*24*time.Hour)
		var renewed authorizationBody
		if _, err := l.adapter.api.write(t.Context(), "test", "/v2/payments/authorizations/"+first+"/reauthorize", "renew", nothing{}, &renewed); err != nil {
			t.Fatal(err)
		}
		obs, err := l.adapter.Fetch(t.Context(), p.attempt)
		if err != nil {
			t.Fatal(err)
		}
		p.observe(obs)
		if got := p.facts.Amounts(nil); got.Capturable != c.rest || got.Authorized != c.rest || p.facts.Status() != payment.StatusAuthorized {
			t.Errorf("%d taken: %s, %+v, want %d capturable", c.taken, p.facts.Status(), got, c.rest)
		}
		res, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{Attempt: p.attempt, Target: renewed.ID, Amount: payment.Money{Minor: c.rest, Currency: "usd"}}, "rest")
		if err != nil {
			t.Fatal(err)
		}
		p.observe(res.Observation)
		if got := p.facts.Amounts(nil); got.Capturable != 0 || got.Captured != 1999 || p.facts.Status() != payment.StatusSucceeded {
			t.Errorf("%d taken, then the rest: %s, %+v, conflicts %v", c.taken, p.facts.Status(), got, p.facts.Conflicts())
		}
	}
}

// Promise (I1, I3): of a renewed hold as much can be captured as it holds, and never more in
// all than the customer agreed to, whatever the renewal is for and whether or not the
// captures say whence they came.
func TestRenewedHoldsWhatWasAgreed(t *testing.T) {
	t.Parallel()
	const first, second = "A1", "A2"
	auth := func(id, at, value string) string {
		return `{"id":"` + id + `","status":"PARTIALLY_CAPTURED","amount":{"currency_code":"USD","value":"` + value + `"},"expiration_time":"2026-03-30T11:00:00Z","create_time":"2026-03-01T` + at + `Z"}`
	}
	capture := func(id, of, at, value string) string {
		from := ""
		if of != "" {
			from = `,"supplementary_data":{"related_ids":{"authorization_id":"` + of + `"}}`
		}
		return strings.Replace(strings.Replace(captureJSON(id, "COMPLETED", from), "19.99", value, 1), "11:56:00", at, 1)
	}
	for name, c := range map[string]struct {
		value, captures string
		left            int64
	}{
		"renewed for the rest":                    {"15.00", capture("C1", first, "11:05:00", "4.99"), 1500},
		"for the rest, taken by nobody says whom": {"15.00", capture("C1", "", "11:05:00", "4.99"), 1500},
		"for a small rest":                        {"7.99", capture("C1", first, "11:05:00", "12.00"), 799},
		"for a small rest, nobody says of which":  {"7.99", capture("C1", "", "11:05:00", "12.00"), 799},
		"for less than the rest":                  {"5.00", capture("C1", first, "11:05:00", "4.99"), 500},
		"for the full amount":                     {"19.99", capture("C1", first, "11:05:00", "4.99"), 1500},
		"for the full amount, two parts":          {"19.99", capture("C1", first, "11:05:00", "4.99") + "," + capture("C2", second, "11:15:00", "5.00"), 1000},
		"a part of the renewal":                   {"15.00", capture("C1", first, "11:05:00", "4.99") + "," + capture("C2", second, "11:15:00", "5.00"), 1000},
		"a part of it, nobody says of which":      {"15.00", capture("C1", first, "11:05:00", "4.99") + "," + capture("C2", "", "11:15:00", "5.00"), 1000},
		"one that names another order's":          {"15.00", capture("C1", first, "11:05:00", "4.99") + "," + capture("C2", "A9", "11:15:00", "5.00"), 1000},
		"the first one captured after it":         {"15.00", capture("C1", first, "11:15:00", "4.99"), 1500},
		"all of the renewal":                      {"15.00", capture("C1", first, "11:05:00", "4.99") + "," + capture("C2", second, "11:15:00", "15.00"), 0},
		"a declined capture takes nothing":        {"15.00", strings.Replace(capture("C1", second, "11:15:00", "4.99"), "COMPLETED", "DECLINED", 1), 1500},
	} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "AUTHORIZE",
			`{"authorizations":[`+auth(second, "11:10:00", c.value)+`,`+auth(first, "11:00:00", "19.99")+`],"captures":[`+c.captures+`]}`))
		s.on("GET /v2/payments/authorizations/"+first, 200, auth(first, "11:00:00", "19.99")).on("GET /v2/payments/authorizations/"+second, 200, auth(second, "11:10:00", c.value))
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(true))
		if err != nil {
			t.Fatal(err)
		}
		facts := manualFacts(obs).Observe(obs)
		if got := facts.Amounts(nil).Capturable; got != c.left || len(facts.Conflicts()) > 0 {
			t.Errorf("%s: capturable %d, want %d; conflicts %v", name, got, c.left, facts.Conflicts())
		}
	}
}

// manualFacts are those of a payment of 19.99 that the app captures, before anything was
// read of the attempt that obs is of.
func manualFacts(obs payment.Observation) payment.Facts {
	return payment.Facts{
		Terms:  payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}, Manual: true},
		Opened: []payment.Attempt{{N: obs.N, Provider: obs.Provider, Account: obs.Account}},
	}
}

// Promise (I1, I3): a hold that was renewed for the rest is captured to the end, and is no
// conflict, where the order shows the renewal alone: what the order is for was held before.
func TestRenewedHoldOutOfSight(t *testing.T) {
	t.Parallel()
	renewed := strings.Replace(authJSON("A2", "CREATED", ""), "19.99", "7.99", 1)
	renewed = strings.Replace(renewed, `"create_time":"2026-03-01T11:55:00Z"`, `"create_time":"2026-03-01T11:58:00Z"`, 1)
	for name, of := range map[string]string{"it says of which": `,"supplementary_data":{"related_ids":{"authorization_id":"` + authID + `"}}`, "it does not": ""} {
		s := newStub(t).on("GET /v2/payments/authorizations/A2", 200, renewed).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "AUTHORIZE",
			`{"authorizations":[`+renewed+`],"captures":[`+strings.Replace(captureJSON(capID, "COMPLETED", of), "19.99", "12.00", 1)+`]}`))
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(true))
		if err != nil {
			t.Fatal(err)
		}
		facts := manualFacts(obs).Observe(obs)
		if got := facts.Amounts(nil); got.Capturable != 799 || facts.Status() != payment.StatusAuthorized {
			t.Errorf("%s: %s, %+v, conflicts %v", name, facts.Status(), got, facts.Conflicts())
		}
	}
}

// Promise (I1): the money is held once, however often the hold was renewed and whatever a
// reading without the order says of the last renewal.
func TestRenewalsReadWithoutTheOrder(t *testing.T) {
	t.Parallel()
	auth := func(id, of, day string) string {
		return `{"id":"` + id + `","status":"CREATED","amount":{"currency_code":"USD","value":"19.99"},"expiration_time":"2026-03-30T11:55:00Z","create_time":"2026-02-` + day + `T11:55:00Z"` + of + `}`
	}
	const names = `,"supplementary_data":{"related_ids":{"authorization_id":"A1"}}`
	for name, c := range map[string]struct {
		of   string
		auth []string
	}{
		"the last one names the first":  {names, []string{"A1", "A2", "A3"}},
		"the last one names none":       {"", []string{"A1", "A2", "A3"}},
		"the only renewal names none":   {"", []string{"A1", "A3"}},
		"the only renewal names it":     {names, []string{"A1", "A3"}},
		"the last one was not yet seen": {names, []string{"A1", "A2"}},
	} {
		bodies := map[string]string{"A1": auth("A1", "", "10"), "A2": auth("A2", c.of, "15"), "A3": auth("A3", c.of, "20")}
		var listed []string
		s := newStub(t)
		for id, body := range bodies {
			s.on("GET /v2/payments/authorizations/"+id, 200, body)
		}
		for _, id := range c.auth {
			listed = append(listed, bodies[id])
		}
		s.on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "AUTHORIZE", `{"authorizations":[`+strings.Join(listed, ",")+`]}`))
		whole, err := s.adapter().Fetch(t.Context(), attemptOf(true))
		if err != nil {
			t.Fatal(err)
		}
		at := attemptOf(true)
		at.Refs = payment.Refs{Authorization: "A3"}
		s.on("GET /v2/checkout/orders/"+orderID, 404, issueJSON("INVALID_RESOURCE_ID"))
		rootless, err := s.adapter(func(o *Options) { o.Now = func() time.Time { return startWall.Add(time.Hour) } }).Fetch(t.Context(), at)
		if err != nil || !rootless.Rootless {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range rootless.Facts.Authorizations { // the newer reading
			rootless.Facts.Authorizations[i].AsOf = whole.AsOf.Add(time.Hour)
		}
		for _, facts := range []payment.Facts{manualFacts(whole).Observe(whole).Observe(rootless), manualFacts(whole).Observe(rootless).Observe(whole)} {
			if got := facts.Amounts(nil); got.Authorized != 1999 || got.Capturable != 1999 || facts.Status() != payment.StatusAuthorized {
				t.Errorf("%s: %s, %+v", name, facts.Status(), got)
			}
		}
	}
}

// Promise (I3): a renewal for the rest is read the same while PayPal has forgotten the order,
// where the hold that it renews is out of sight.
func TestRenewedForTheRestWithoutTheOrder(t *testing.T) {
	t.Parallel()
	renewed := strings.Replace(authJSON("A2", "CREATED", `,"supplementary_data":{"related_ids":{"authorization_id":"`+authID+`"}}`), "19.99", "7.99", 1)
	renewed = strings.Replace(renewed, `"create_time":"2026-03-01T11:55:00Z"`, `"create_time":"2026-03-01T11:58:00Z"`, 1)
	for name, of := range map[string]string{"it says of which": `,"supplementary_data":{"related_ids":{"authorization_id":"` + authID + `"}}`, "it does not": ""} {
		s := newStub(t).on("GET /v2/payments/authorizations/A2", 200, renewed).
			on("GET /v2/payments/captures/"+capID, 200, strings.Replace(captureJSON(capID, "COMPLETED", of), "19.99", "12.00", 1))
		at := attemptOf(true)
		at.Refs = payment.Refs{Authorization: "A2", Capture: capID}
		obs, err := s.adapter().Fetch(t.Context(), at)
		if err != nil || !obs.Rootless || obs.Facts.Authorizations[0].Capturable != 799 || obs.Facts.Authorizations[0].State != payment.AuthActive {
			t.Errorf("%s: %+v, %v", name, obs.Facts.Authorizations, err)
		}
	}
}
