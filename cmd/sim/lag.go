package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// faultLag is a provider whose replicas lag: a read may give the answer of up to a minute
// ago, with the date of now. It draws from a stream of its own.
const faultLag = "stale_read"

const (
	longestLag = time.Minute
	lagRate    = 0.3 // the most
)

// answered are the two last answers that a read gave, and when the older one was last true.
type answered struct {
	body, older []byte
	at, until   time.Time
}

// drawLag makes this class's part of a seed's plan. Webhooks alone can't mend what they
// read too early: nobody reads it again.
func (p *plan) drawLag(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0x1a6))
	off, share := r.Float64() < offShare, r.Float64()
	if !off && p.mode != modeWebhook {
		p.rate[faultLag] = share * lagRate
	}
}

// lag puts an older answer in the place of a read's, where the provider gave a different
// one a short while ago, also after it gave the new one: two replicas lag differently.
// Reports tell by themselves how old they are, and lists of events have a fault of their
// own.
func (t *town) lag(provider string, req *http.Request, resp *http.Response) *http.Response {
	path := req.URL.Path
	told := resp.StatusCode == http.StatusOK && req.Method == http.MethodGet
	if t.rate(faultLag) == 0 || !told || alone(path) || strings.Contains(path, "/reporting/") || strings.Contains(path, "events") {
		return resp
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp
	}
	key := provider + req.URL.RequestURI()
	was, known := t.answers[key]
	if known && !bytes.Equal(was.body, body) {
		was.older, was.until = was.body, was.at
	}
	was.body, was.at = body, t.now
	t.answers[key] = was
	if was.older != nil && t.now.Sub(was.until) < longestLag && hits(t.lagging, t.rate(faultLag)) {
		t.count("stale_read")
		t.trace("%s reads as %s ago", path, t.now.Sub(was.until))
		body = was.older
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp
}
