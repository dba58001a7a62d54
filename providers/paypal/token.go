package paypal

import (
	"context"
	"errors"
	"sync"
	"time"
)

// fetchLimit is how long one token fetch may take. It belongs to no caller.
const fetchLimit = 15 * time.Second

// tokens keeps one access token and lets one caller at a time fetch the next, for
// all who wait.
type tokens struct {
	fetch  func(context.Context) (string, time.Duration, error)
	now    func() time.Time
	inline bool
	joined func() // tests: called after a caller joined a fetch

	mu      sync.Mutex
	token   string
	expires time.Time
	flight  *flight
}

// flight is one fetch. token and err are set before done is closed.
type flight struct {
	done  chan struct{}
	token string
	err   error
}

// get answers a token that is not stale: the one a call was refused with. Every
// caller waits for its own context only; the fetch goes on without it.
func (t *tokens) get(ctx context.Context, stale string) (string, error) {
	t.mu.Lock()
	if t.token != "" && t.token != stale && t.now().Before(t.expires) {
		defer t.mu.Unlock()
		return t.token, nil
	}
	f, mine := t.flight, false
	if f == nil {
		f, mine = &flight{done: make(chan struct{})}, true
		t.flight = f
	}
	t.mu.Unlock()
	if t.joined != nil {
		t.joined()
	}
	switch {
	case mine && t.inline:
		t.run(context.WithoutCancel(ctx), f)
	case mine:
		go t.run(context.WithoutCancel(ctx), f)
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
	}
	select {
	case <-f.done: // both happened: the token is there
		return f.token, f.err
	default:
		return "", ctx.Err()
	}
}

// run fetches once. Whatever happens, those who wait are let go.
func (t *tokens) run(ctx context.Context, f *flight) {
	f.err = errors.New("paypal: the token fetch broke off")
	var life time.Duration
	defer func() {
		t.mu.Lock()
		if f.err == nil {
			// A minute of margin, less where tokens live shorter than ten.
			t.token, t.expires = f.token, t.now().Add(life-min(time.Minute, life/10))
		}
		t.flight = nil
		t.mu.Unlock()
		close(f.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	f.token, life, f.err = t.fetch(ctx)
}
