package stripeapi

import (
	"net/http"
	"net/url"
	"sync"
	"time"
)

// keyLife is how long a key is remembered, on the virtual clock. Stripe says "at
// least 24 hours"; a pruned key makes a new request, so we prune at the earliest.
const keyLife = 24 * time.Hour

// idempotency remembers answers by account and Idempotency-Key (Stripe docs:
// idempotent requests): the first answer is replayed, a 500 included; other
// parameters are an error; a second request during the first one is a conflict;
// failed validation is not remembered.
type idempotency struct {
	now func() time.Time

	mu    sync.Mutex
	byKey map[string]*keyRecord
	order []*keyRecord // by time of first use, for pruning
}

type keyRecord struct {
	scope  string
	what   string // method, path and parameters
	at     time.Time
	answer *answer // nil while running
}

func newIdempotency(now func() time.Time) *idempotency {
	return &idempotency{now: now, byKey: map[string]*keyRecord{}}
}

// begin either returns the stored answer, or an error, or a function that must be
// called with the answer once it exists.
func (i *idempotency) begin(c *call) (done func(answer), stored *answer, fail *apiError) {
	scope := c.acct + " " + c.key
	what := c.r.Method + " " + c.r.URL.Path + " " + url.Values(c.form).Encode()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.prune()
	if rec := i.byKey[scope]; rec != nil {
		switch {
		case rec.what != what:
			return nil, nil, &apiError{
				status: http.StatusBadRequest, typ: typeIdempotency,
				msg: "Keys for idempotent requests can only be used with the same parameters they were first used with. " +
					"Try using a key other than '" + c.key + "' if you meant to execute a different request.",
			}
		case rec.answer == nil:
			return nil, nil, &apiError{
				status: http.StatusConflict, typ: typeInvalid, code: "idempotency_key_in_use",
				msg: "There is currently another in-progress request using this Idempotency Key.",
			}
		default:
			return nil, rec.answer, nil
		}
	}
	rec := &keyRecord{scope: scope, what: what, at: i.now()}
	i.byKey[scope] = rec
	i.order = append(i.order, rec)
	return func(ans answer) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if ans.keep {
			rec.answer = &ans
		} else if i.byKey[scope] == rec {
			delete(i.byKey, scope)
		}
	}, nil, nil
}

// prune forgets what is older than keyLife; i.mu is held.
func (i *idempotency) prune() {
	limit := i.now().Add(-keyLife)
	for len(i.order) > 0 && i.order[0].at.Before(limit) {
		if rec := i.order[0]; i.byKey[rec.scope] == rec {
			delete(i.byKey, rec.scope)
		}
		i.order = i.order[1:]
	}
}
