package inbox_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

var good = http.Header{"X-Sig": {"good"}}

// Guards what providers rely on: which paths exist, and what each refusal is.
// Nothing that is refused leaves a row.
func TestReceiverRefusals(t *testing.T) {
	t.Parallel()
	body := []byte(`{"key":"e1","type":"x","kind":"charge","object":"ch_1"}`)
	for _, c := range []struct {
		name, method, path string
		header             http.Header
		body               []byte
		want               int
	}{
		{"A1 and B1: no signature", "POST", "/webhooks/stripe/acct", nil, body, 400},
		{"A3: a bad signature", "POST", "/webhooks/stripe/acct", http.Header{"X-Sig": {"bad"}}, body, 400},
		{"B8: the check says no", "POST", "/webhooks/stripe/acct", http.Header{"X-Sig": {"FAILURE"}}, body, 400},
		{"B8: the check times out", "POST", "/webhooks/stripe/acct", http.Header{"X-Sig": {"unavailable"}}, body, 503},
		{"A11: the other endpoint's secret", "POST", "/webhooks/stripe/acct", http.Header{"X-Sig": {"connect"}}, body, 400},
		{"signed, but not JSON", "POST", "/webhooks/stripe/acct", good, []byte(`{"key":`), 400},
		{"signed, but empty", "POST", "/webhooks/stripe/acct", good, nil, 400},
		{"signed, without a key", "POST", "/webhooks/stripe/acct", good, []byte(`{}`), 400},
		{"A22: bytes after the JSON", "POST", "/webhooks/stripe/acct", good, append(body, '{', '}'), 400},
		{"A22: a zero byte after the JSON", "POST", "/webhooks/stripe/acct", good, append(body[:len(body):len(body)], 0), 400},
		{"unknown account", "POST", "/webhooks/stripe/other", good, body, 404},
		{"another provider's account", "POST", "/webhooks/paypal/acct", good, body, 404},
		{"no connect endpoint at PayPal", "POST", "/webhooks/paypal/acct/connect", good, body, 404},
		{"unknown subpath", "POST", "/webhooks/stripe/acct/other", good, body, 404},
		{"too deep", "POST", "/webhooks/stripe/acct/connect/x", good, body, 404},
		{"no account", "POST", "/webhooks/stripe", good, body, 404},
		{"dots", "POST", "/webhooks/../webhooks/stripe/acct", good, body, 404},
		{"GET", "GET", "/webhooks/stripe/acct", good, nil, 405},
		{"PUT", "PUT", "/webhooks/stripe/acct", good, body, 405},
		{"A17: gzip", "POST", "/webhooks/stripe/acct", http.Header{"X-Sig": {"good"}, "Content-Encoding": {"gzip"}}, zipped(t, body), 415},
		{"A17: two encodings", "POST", "/webhooks/stripe/acct", http.Header{"X-Sig": {"good"}, "Content-Encoding": {"identity", "br"}}, body, 415},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			req := httptest.NewRequestWithContext(t.Context(), c.method, "http://gw"+c.path, bytes.NewReader(c.body))
			req.URL.Path = c.path
			for k, v := range c.header {
				req.Header[k] = v
			}
			if code, word := r.do(req); code != c.want {
				t.Errorf("answer %d %s, want %d", code, word, c.want)
			}
			if n := r.rows(); n != 0 {
				t.Errorf("%d rows were written", n)
			}
			if r.log.Len() > 0 {
				t.Errorf("a refused request is logged: %s", r.log)
			}
		})
	}
}

func zipped(t *testing.T, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Guards A17: the Content-Type is never judged, and identity is no encoding.
func TestContentTypeIsNotJudged(t *testing.T) {
	t.Parallel()
	for _, ct := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "garbage;;"} {
		r := newRig(t)
		h := http.Header{"X-Sig": {"good"}, "Content-Type": {ct}, "Content-Encoding": {"identity"}}
		if code, word := r.post("/webhooks/stripe/acct", []byte(`{"key":"k","type":"x","kind":"charge","object":"ch_1"}`), h); code != 200 || word != "stored" {
			t.Errorf("Content-Type %q: %d %s", ct, code, word)
		}
	}
}

// endless is a body that never ends and counts what was read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += int64(len(p))
	return len(p), nil
}

// Guards A16 and J1: the limit is 1 MiB, one byte more is 413, and neither a
// declared nor an endless body is read beyond the limit.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	start := []byte(`{"key":"big","type":"x","kind":"charge","object":"ch_1"}`)
	exact := append(start, bytes.Repeat([]byte(" "), 1<<20-len(start))...)
	if code, word := r.post("/webhooks/stripe/acct", exact, good); code != 200 || word != "stored" {
		t.Errorf("1 MiB: %d %s, want 200 stored", code, word)
	}
	stored, err := r.inbox.Body(t.Context(), inbox.RecordID("stripe", account, false, "big"))
	if err != nil || !bytes.Equal(stored, exact) {
		t.Errorf("the stored body has %d bytes (%v), want the %d raw ones", len(stored), err, len(exact))
	}
	rows := r.rows()
	if code, _ := r.post("/webhooks/stripe/acct", append(exact, ' '), good); code != 413 {
		t.Errorf("1 MiB + 1: %d, want 413", code)
	}
	declared := &endless{}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/stripe/acct", io.NopCloser(declared))
	req.ContentLength = 1<<20 + 1
	req.Header = good
	if code, _ := r.do(req); code != 413 || declared.read != 0 {
		t.Errorf("declared too large: %d after %d bytes, want 413 after none", code, declared.read)
	}
	chunked := &endless{}
	req = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/stripe/acct", io.NopCloser(chunked))
	req.ContentLength = -1
	req.Header = good
	if code, _ := r.do(req); code != 413 || chunked.read > 2<<20 {
		t.Errorf("chunked without end: %d after %d bytes, want 413 soon after 1 MiB", code, chunked.read)
	}
	if r.rows() != rows {
		t.Error("a refused body left a row")
	}
}

// Guards J10 and 8.11: a flood of forged webhooks writes nothing, logs nothing,
// and what it holds in memory at a time is bounded, with or without a declared
// length.
func TestFloodIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	release := make(chan struct{})
	var wg sync.WaitGroup
	codes := make([]int, 200)
	for i := range codes {
		body, writer := io.Pipe()
		wg.Go(func() { // 200 slow senders of bodies without a declared length
			<-release
			_ = writer.Close() // a pipe's end: never fails
		})
		wg.Go(func() {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/stripe/acct", body)
			req.ContentLength = -1
			codes[i], _ = r.do(req)
			_ = body.Close()
		})
	}
	for r.counts.get("busy") < 200-32 { // the rest is refused at once, without reading
		runtime.Gosched()
	}
	// While they hold their share, a usual webhook still gets through.
	if code, word := r.send(hook{Key: "k", Type: "x", Kind: "charge", Object: "ch_1"}); code != 200 {
		t.Errorf("a real webhook during the flood: %d %s", code, word)
	}
	close(release)
	wg.Wait()
	byCode := map[int]int{}
	for _, c := range codes {
		byCode[c]++
	}
	if byCode[503] != 168 || byCode[400] != 32 {
		t.Errorf("answers %v, want 32 read and refused, 168 turned away", byCode)
	}
	for range 5000 {
		r.post("/webhooks/stripe/acct", []byte(`{"key":"f"}`), nil)
	}
	again := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/stripe/acct", strings.NewReader(`{"key":"f"}`))
	again.ContentLength = -1
	if code, _ := r.do(again); code != 400 {
		t.Errorf("after the flood: %d, want 400: the memory was not given back", code)
	}
	if r.rows() != 1 || r.log.Len() > 0 {
		t.Errorf("%d rows and %d bytes of log, want the one real webhook and nothing", r.rows(), r.log.Len())
	}
	if got := r.counts.get("forged"); got != 5000+32+1 {
		t.Errorf("%d counted as forged, want 5033", got)
	}
}

// Guards I4, and row A20 of the security list: with the store down, before or after the write, the
// answer is 503 and never 200; a lost acknowledgement is told from a lost write.
func TestStoreDownIs503(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := hook{Key: "k", Type: "x", Kind: "charge", Object: "ch_1"}
	r.fault.down()
	if code, word := r.send(h); code != 503 || word != string(payment.CodeStoreUnavailable) {
		t.Errorf("store down: %d %s, want 503", code, word)
	}
	r.fault.up()
	if n := r.rows(); n != 0 {
		t.Fatalf("%d rows", n)
	}
	once := sync.Once{}
	r.fault.set(func(p store.WritePoint, w faults.When) (err error) {
		if p == store.PointInboxInsert && w == faults.After {
			once.Do(func() { err = errDown })
		}
		return err
	}, nil)
	if code, word := r.send(h); code != 200 || word != "stored" {
		t.Errorf("lost acknowledgement: %d %s, want 200 stored, because it is", code, word)
	}
	r.fault.down()
	if code, _ := r.send(h); code != 503 {
		t.Errorf("redelivery with the store down: %d, want 503", code)
	}
	r.fault.up()
	if code, word := r.send(h); code != 200 || word != "already_stored" {
		t.Errorf("redelivery: %d %s, want 200 already_stored", code, word)
	}
}

// Guards A20 for bodies in parts: a crash between a body's parts and its event
// leaves nothing acknowledged, and the redelivery is whole.
func TestLargeBodyCrash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := append([]byte(`{"key":"big","type":"x","kind":"charge","object":"ch_1"}`), bytes.Repeat([]byte(" "), 900<<10)...)
	for _, point := range []store.WritePoint{store.PointInboxBody, store.PointInboxInsert} {
		parts := 0
		r.fault.set(func(p store.WritePoint, w faults.When) error {
			if p != point || w != faults.Before {
				return nil
			}
			if parts++; point == store.PointInboxBody && parts == 1 {
				return nil // the first part goes through, the second does not
			}
			return errDown
		}, nil)
		if code, _ := r.post("/webhooks/stripe/acct", body, good); code != 503 {
			t.Errorf("fault at %s: %d, want 503", point, code)
		}
	}
	r.fault.up()
	if code, _ := r.post("/webhooks/stripe/acct", body, good); code != 200 {
		t.Fatalf("redelivery: %d", code)
	}
	got, err := r.inbox.Body(t.Context(), inbox.RecordID("stripe", account, false, "big"))
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("stored body: %d bytes, %v", len(got), err)
	}
}

// Guards A12, A13, A14 and A21: signed events that we can't act on are stored,
// answered 200, parked and told of once per cause; nothing is read.
func TestParkedOnArrival(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, reason string }{
		{"A12: live event at a test account", `{"key":"k","type":"x","kind":"charge","object":"ch_1","live":true}`, inbox.ReasonMode},
		{"A13: other API version", `{"key":"k","type":"x","kind":"charge","object":"ch_1","version":"2020-08-27"}`, inbox.ReasonVersion},
		{"A14: a connected account that is not ours", `{"key":"k","type":"x","kind":"charge","object":"ch_1","version":"v1","connected":"acct_x"}`, inbox.ReasonConnected},
		{"A21: a name twice", `{"key":"k","type":"x","kind":"charge","object":"ch_1","version":"v1","object":"ch_2"}`, inbox.ReasonAmbiguous},
		{"A21: ID and id", `{"key":"k","type":"x","kind":"charge","object":"ch_1","version":"v1","OBJECT":"ch_2"}`, inbox.ReasonAmbiguous},
		{"A21: deep inside", `{"key":"k","type":"x","kind":"charge","object":"ch_1","version":"v1","data":[{"a":{"id":1,"Id":2}}]}`, inbox.ReasonAmbiguous},
		{"A21: a fold that lower case misses", `{"key":"k","type":"x","kind":"charge","object":"ch_1","version":"v1","ver\u017fion":"v1"}`, inbox.ReasonAmbiguous},
		{"an id of no provider's size", `{"key":"k","type":"x","kind":"charge","version":"v1","object":"` + strings.Repeat("x", 300) + `"}`, inbox.ReasonAmbiguous},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *inbox.Options) { o.APIVersions = map[string]string{"stripe": "v1"} })
			if code, word := r.post("/webhooks/stripe/acct", []byte(c.body), good); code != 200 || word != "stored" {
				t.Fatalf("%d %s, want 200 stored", code, word)
			}
			id := inbox.RecordID("stripe", account, false, "k")
			r.wantState(id, inbox.Parked, c.reason)
			r.step()
			r.step()
			r.wantState(id, inbox.Parked, c.reason)
			alerts := r.alertsOf("webhook_parked")
			if len(alerts) != 1 || alerts[0].Count != 1 || alerts[0].Account != account {
				t.Errorf("alerts %+v, want one", alerts)
			}
			if r.fake.fetched() != 0 || len(r.fake.traced) != 0 {
				t.Error("a parked event made a provider call")
			}
		})
	}
}

// Guards A12 from its other side: a test event at a live account is parked as well, and
// makes nothing of ours paid; a live one there is worked on.
func TestTestEventAtLiveAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fake.mode = payment.ModeLive
	r.boot()
	for _, c := range []struct {
		name, body, reason string
		state              inbox.State
	}{
		{"says test", `{"key":"k1","type":"x","kind":"charge","object":"ch_1","live":false}`, inbox.ReasonMode, inbox.Parked},
		{"says nothing", `{"key":"k2","type":"x","kind":"charge","object":"ch_1"}`, inbox.ReasonMode, inbox.Parked},
		{"live", `{"key":"k3","type":"x","kind":"charge","object":"ch_1","live":true}`, "", inbox.Pending},
	} {
		if code, word := r.post("/webhooks/stripe/acct", []byte(c.body), good); code != 200 || word != "stored" {
			t.Fatalf("%s: %d %s, want 200 stored", c.name, code, word)
		}
		r.wantState(inbox.RecordID("stripe", account, false, c.body[8:10]), c.state, c.reason)
		r.step()
		if calls := r.fake.fetched() + len(r.fake.traced); (calls != 0) != (c.state == inbox.Pending) {
			t.Errorf("%s: %d provider calls", c.name, calls)
		}
	}
	if alerts := r.alertsOf("webhook_parked"); len(alerts) != 1 || alerts[0].Account != account {
		t.Errorf("alerts %+v, want one of the account", alerts)
	}
}

// Guards A21's other side: an app's own metadata may differ in case only, and a
// body that means one thing is not parked.
func TestUnambiguousIsNotParked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := `{"key":"k","type":"x","kind":"charge","object":"ch_1","data":{"metadata":{"Order":"1","order":"2"},"a":[{"id":1},{"id":2}]}}`
	if code, _ := r.post("/webhooks/stripe/acct", []byte(body), good); code != 200 {
		t.Fatal(code)
	}
	r.wantState(inbox.RecordID("stripe", account, false, "k"), inbox.Pending, "")
}

// Guards A14: a connected account that is ours is worked on; when that can't be
// found out the provider comes again.
func TestConnectEndpoint(t *testing.T) {
	t.Parallel()
	fail := errors.New("no answer")
	r := newRig(t, func(o *inbox.Options) {
		o.Connected = func(_ context.Context, account, connected string) (bool, error) {
			if connected == "acct_broken" {
				return false, fail
			}
			return account == "acct" && connected == "acct_ours", nil
		}
	})
	sig := http.Header{"X-Sig": {"connect"}}
	if code, _ := r.post("/webhooks/stripe/acct/connect", []byte(`{"key":"k","type":"x","kind":"charge","object":"ch","connected":"acct_ours"}`), sig); code != 200 {
		t.Fatal(code)
	}
	r.wantState(inbox.RecordID("stripe", account, true, "k"), inbox.Pending, "")
	if code, _ := r.post("/webhooks/stripe/acct/connect", []byte(`{"key":"k2","type":"x","kind":"charge","object":"ch","connected":"acct_broken"}`), sig); code != 503 {
		t.Errorf("unknown whose account: %d, want 503", code)
	}
	// The same key at the other endpoint is another event.
	if code, word := r.post("/webhooks/stripe/acct", []byte(`{"key":"k","type":"x","kind":"charge","object":"ch"}`), good); code != 200 || word != "stored" {
		t.Errorf("same key, other endpoint: %d %s", code, word)
	}
}

// Guards the rule for types that nobody acts on: stored and counted, done at once.
func TestIrrelevantIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.stored(hook{Key: "k", Type: "customer.created", Kind: "customer", Object: "cus_1", Other: true})
	r.wantState(id, inbox.Irrelevant, "")
	if n := r.step(); n != 0 {
		t.Errorf("the worker found %d events", n)
	}
	if code, word := r.send(hook{Key: "k", Type: "customer.created", Kind: "customer", Object: "cus_1", Other: true}); code != 200 || word != "already_stored" {
		t.Errorf("again: %d %s", code, word)
	}
	if _, err := r.inbox.Replay(t.Context(), id); !errors.Is(err, inbox.ErrState) {
		t.Errorf("replay: %v, want ErrState", err)
	}
}

// Guards the configuration: the layer switched off answers 503 and works on
// nothing; a missing option is refused at start.
func TestOffAndOptions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.stored(hook{Key: "k", Type: "x", Kind: "charge", Object: "ch_1"})
	r.boot(func(o *inbox.Options) { o.Off = true })
	if code, _ := r.send(hook{Key: "k2", Type: "x"}); code != 503 {
		t.Errorf("switched off: %d, want 503", code)
	}
	if did, _, err := r.inbox.Step(t.Context()); did != 0 || err != nil {
		t.Errorf("switched off: did %d, %v", did, err)
	}
	if _, err := inbox.New(inbox.Options{}); err == nil {
		t.Error("New accepts empty options")
	}
}

// Guards against secrets in what is kept and told: neither signature headers nor
// bodies reach the log.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const canary = "canary-4711"
	h := http.Header{"X-Sig": {"good"}, "Stripe-Signature": {canary}, "Paypal-Transmission-Sig": {canary}}
	body := []byte(`{"key":"k","type":"x","kind":"charge","object":"ch_1","email":"` + canary + `"}`)
	r.fake.set(func() {
		r.fake.traceErr = &providers.Error{Class: providers.Unknown, Op: "trace", Cause: errors.New(canary)}
	})
	r.fault.down()
	r.post("/webhooks/stripe/acct", body, h)
	r.fault.up()
	r.post("/webhooks/stripe/acct", body, h)
	r.step()
	if strings.Contains(r.log.String(), canary) || r.log.Len() == 0 {
		t.Errorf("the log must tell of the trouble without %q:\n%s", canary, r.log)
	}
	if rec := r.record(inbox.RecordID("stripe", account, false, "k")); strings.Contains(rec.Reason, canary) {
		t.Errorf("reason %q", rec.Reason)
	}
}

// Guards B6 from its other side: a body that came first under a key can't keep out
// another that names another object, but only a few are kept; the same object
// again, with other bytes around it, is the same event.
func TestVariantsUnderOneKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 20 {
		want := "stored"
		if i > 8 {
			want = "already_stored"
		}
		if code, word := r.send(hook{Key: "k", Type: "x", Kind: "capture", Object: fmt.Sprint("cap_", i)}); code != 200 || word != want {
			t.Errorf("variant %d: %d %s, want %s", i, code, word, want)
		}
	}
	rows := r.rows()
	for _, h := range []hook{
		{Key: "k", Type: "y", Kind: "capture", Object: "cap_0"},
		{Key: "k", Type: "x", Kind: "capture", Object: "cap_5"},
	} {
		if code, word := r.send(h); code != 200 || word != "already_stored" {
			t.Errorf("again: %d %s", code, word)
		}
	}
	if rows != 9 || r.rows() != 9 {
		t.Errorf("%d rows, then %d; want 9", rows, r.rows())
	}
}
