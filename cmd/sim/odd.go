package main

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// The younger classes of fault. They draw from streams of their own, so that the
// stories of seeds that found something stay as they are.
const (
	faultBack   = "clock_back"          // a process's clock is set back, by up to a minute
	faultLogin  = "credentials_refused" // a provider refuses our credentials for up to six hours, or forgets a token that it gave
	faultSecret = "webhook_secret"      // webhooks are signed by a secret that our processes learn up to six hours later
	faultWords  = "unknown_words"       // an answer holds a status that nobody has heard of, as a newer version of the API may
)

func youngClasses() []string { return []string{faultBack, faultLogin, faultSecret, faultWords} }

// setBack is a process's clock being set anew.
type setBack struct {
	at       time.Duration
	instance int
	skew     time.Duration
}

// drawYoung makes the younger part of a seed's plan.
func (p *plan) drawYoung(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0x0dd))
	for _, class := range youngClasses() {
		off, share := r.Float64() < offShare, r.Float64()
		if !off {
			p.rate[class] = share * map[string]float64{faultBack: 1, faultLogin: 1, faultSecret: 1, faultWords: 0.03}[class]
		}
	}
	moment := func() time.Duration { return time.Duration(r.Int64N(int64(p.faulty))) }
	for range 1 + r.IntN(3) {
		p.backs = append(p.backs, setBack{moment(), r.IntN(3), time.Duration(r.Int64N(int64(time.Minute))) - 30*time.Second})
	}
	hours := func(from time.Duration) window {
		return window{from, from + time.Duration(math.Exp(r.Float64()*math.Log(360))*float64(time.Minute))}
	}
	for range 1 + r.IntN(2) {
		p.logins = append(p.logins, outage{hours(moment()), []string{"stripe", "paypal"}[r.IntN(2)], 0})
	}
	for range 1 + r.IntN(3) {
		p.revoked = append(p.revoked, moment())
	}
	p.secret = hours(moment())
}

// fitYoung drops what is switched off.
func (p *plan) fitYoung() {
	if p.mode == modeWebhook || p.mode == modeReconcile { // one layer alone may not read again what it read with such a word
		delete(p.rate, faultWords)
	}
	if !p.has(faultBack) {
		p.backs = nil
	}
	if !p.has(faultLogin) {
		p.logins, p.revoked = nil, nil
	}
	if !p.has(faultSecret) {
		p.secret = window{}
	}
}

// planYoung lets the younger faults come when they are due.
func (t *town) planYoung() {
	for _, b := range t.plan.backs {
		t.loop.plan(b.at, "clock set", func() {
			i := t.insts[b.instance%len(t.insts)]
			if b.skew < i.skew {
				t.count("clock_back")
			}
			t.trace("%d clock off by %s", i.id, b.skew)
			i.skew = b.skew
		})
	}
	for _, at := range t.plan.revoked {
		t.loop.plan(at, "token forgotten", func() { t.sandbox("paypal", "oauth/revoke", nil) })
	}
	if t.plan.secret.to > 0 {
		for _, at := range []time.Duration{t.plan.secret.from, t.plan.secret.to} {
			t.loop.plan(at, "webhook secret", t.restartAll)
		}
	}
}

// restartAll starts every process anew, as a change of the configuration does.
func (t *town) restartAll() {
	if t.healed {
		return
	}
	for _, i := range t.insts {
		if err := i.boot(); err != nil {
			t.fail("boot: %v", err)
		}
	}
}

// hooks are the secrets by which processes that start now know webhooks.
func (t *town) hooks() (stripe, paypal []string) {
	if !t.healed && t.plan.secret.holds(t.age()) {
		return []string{"whsec_fedcba9876543210fedcba9876543210"}, []string{"WH-OLD0123456789"}
	}
	return []string{stripeHook}, []string{paypalHook}
}

// answer is one that no provider's stand-in gave.
func (t *town) answer(req *http.Request, status int, body string) *http.Response {
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Date": {t.now.UTC().Format(http.TimeFormat)}, "Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// refused is the answer of a provider that does not know our key any more, nil while
// it does.
func (w wire) refused(req *http.Request) *http.Response {
	t := w.i.t
	for _, o := range t.plan.logins {
		if t.healed || o.provider != w.provider || !o.holds(t.age()) || strings.HasPrefix(req.URL.Path, certPath) {
			continue
		}
		t.count("credentials_refused")
		t.trace("%d %s %s %s -> 401", w.i.id, w.provider, req.Method, place(req.URL.Path))
		body := `{"error":{"type":"invalid_request_error","message":"Invalid API Key provided"}}`
		if w.provider == "paypal" {
			body = `{"error":"invalid_client","error_description":"Client Authentication failed"}`
		}
		return t.answer(req, http.StatusUnauthorized, body)
	}
	return nil
}

// stated is a status in an answer, of either provider.
var stated = regexp.MustCompile(`"(?:status|state)": ?"([A-Za-z_]+)"`)

// reword puts a status that does not exist into an answer, in the place of one.
func (t *town) reword(resp *http.Response) {
	if !hits(t.odd, t.rate(faultWords)) {
		return
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return
	}
	if found := stated.FindAllSubmatchIndex(body, -1); len(found) > 0 {
		at := found[t.odd.IntN(len(found))]
		t.count("unknown_words")
		t.trace("%s reads as an unknown word", body[at[2]:at[3]])
		body = append(append(bytes.Clone(body[:at[2]]), "brand_new"...), body[at[3]:]...)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}
