package paypal

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
)

// reportsPath is where PayPal's reporting begins: transaction search. It is a service of
// its own, which lags, fails and limits its callers by itself. So is that of disputes.
const (
	reportsPath  = "/v1/reporting/"
	disputesPath = "/v1/customer/disputes"
)

// longestRest bounds a rest that a wrong Retry-After could make endless.
const longestRest = time.Minute

// service is one that stands beside the money's own. After its "too many requests" it
// rests, and nothing else does: a capture must not wait because a report was asked for
// too often.
type service struct {
	path string // where its paths begin
	code string // of the answer to a call that is not sent

	mu    sync.Mutex
	until time.Time
}

// asideOf is the service beside the money's own that a path leads to, nil if none.
func (c *client) asideOf(path string) *service {
	for _, s := range []*service{&c.reports, &c.cases} {
		if strings.HasPrefix(path, s.path) {
			return s
		}
	}
	return nil
}

// left is how long the service still rests.
func (r *service) left(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.until.Sub(now))
}

// heard takes note of an error of the service. It is marked as its own, so that the
// account's guard goes on with everything else.
func (r *service) heard(e *providers.Error, now time.Time) {
	e.Aside = true
	if e.Status != http.StatusTooManyRequests {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if until := now.Add(min(e.RetryAfter, longestRest)); until.After(r.until) {
		r.until = until
	}
}

// resting is the answer to a call that is not sent.
func (r *service) resting(op string, left time.Duration) error {
	return &providers.Error{Class: providers.NotDone, Provider: Provider, Op: op, Code: r.code, Aside: true, RetryAfter: max(left, time.Second)}
}

// beside marks an error as one of what stands beside a root that was read.
func beside(err error) error {
	var e *providers.Error
	if !errors.As(err, &e) {
		return err
	}
	out := *e
	out.Aside, out.Rooted = true, true
	return &out
}

// notRefreshed says whether PayPal refused a search because its reports do not reach the
// start of it yet. It has no issue of its own, only this message, and comes as 400 or
// as 404 (seen in the wild; the OpenAPI document does not have it).
func notRefreshed(got *answer) bool {
	if got == nil || got.status != http.StatusBadRequest && got.status != http.StatusNotFound {
		return false
	}
	var p struct {
		Name    string `json:"name"`
		Message string `json:"message"`
	}
	return json.Unmarshal(got.body, &p) == nil && p.Name == "INVALID_REQUEST" &&
		strings.HasPrefix(p.Message, "Data for the given start date is not available")
}
