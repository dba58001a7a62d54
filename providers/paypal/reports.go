package paypal

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
)

// reportsPath is where PayPal's reporting begins: transaction search. It is a service of
// its own, which lags, fails and limits its callers by itself.
const reportsPath = "/v1/reporting/"

// longestReportsRest bounds a rest that a wrong Retry-After could make endless.
const longestReportsRest = time.Minute

// reports makes searches rest after "too many requests" of the reporting service, and
// nothing but searches: a capture must not wait because a report was asked for too often.
type reports struct {
	mu    sync.Mutex
	until time.Time
}

// left is how long searches still rest.
func (r *reports) left(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.until.Sub(now))
}

// heard takes note of an answer of the reporting service. Its 429 is marked as its own,
// so that the account's guard goes on with everything else.
func (r *reports) heard(e *providers.Error, now time.Time) {
	if e.Status != http.StatusTooManyRequests {
		return
	}
	e.Aside = true
	r.mu.Lock()
	defer r.mu.Unlock()
	if until := now.Add(min(e.RetryAfter, longestReportsRest)); until.After(r.until) {
		r.until = until
	}
}

// resting is the answer to a search that is not sent.
func resting(op string, left time.Duration) error {
	return &providers.Error{Class: providers.NotDone, Provider: Provider, Op: op, Code: "reports_rest", RetryAfter: max(left, time.Second)}
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
