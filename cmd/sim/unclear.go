package main

import (
	"math/rand/v2"
	"net/http"
)

// faultUnclear is a provider whose failures say nothing about what was done: a call that
// took effect is answered 500, and one that is away may say 503, as the proxy in front of
// it does. It draws from a stream of its own.
const faultUnclear = "unclear_5xx"

const unclearRate = 0.1 // the most

// drawUnclear makes this class's part of a seed's plan.
func (p *plan) drawUnclear(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0x5005))
	if off, share := r.Float64() < offShare, r.Float64(); !off {
		p.rate[faultUnclear] = share * unclearRate
	}
}

// proxied is what the proxy in front of a provider that is away answers.
func (t *town) proxied(req *http.Request) *http.Response {
	t.count("proxied_503")
	return t.answer(req, http.StatusServiceUnavailable, "<html>503 Service Temporarily Unavailable</html>")
}
