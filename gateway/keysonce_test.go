package gateway_test

import (
	"context"
	"sync"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
)

// together lets as many callers as it was made for list the keys at the same time, and then go on.
type together struct {
	gateway.Keys
	all  *sync.WaitGroup
	fail func(k gateway.Key) error // of InsertKey; may be nil
}

func (k together) ListKeys(ctx context.Context) ([]gateway.Key, error) {
	found, err := k.Keys.ListKeys(ctx)
	if k.all != nil {
		k.all.Done()
		k.all.Wait()
	}
	return found, err
}

func (k together) InsertKey(ctx context.Context, key gateway.Key) error {
	if k.fail != nil {
		if err := k.fail(key); err != nil {
			return err
		}
	}
	return k.Keys.InsertKey(ctx, key)
}

// keyDesk is a service over some keys.
func keyDesk(t *testing.T, w *world, keys gateway.Keys) *gateway.Service {
	t.Helper()
	o := w.opts
	registry, err := providers.NewRegistry(providers.Guard(fakeStripe{w.stripe}, providers.GuardOptions{Unlimited: true}))
	if err != nil {
		t.Fatal(err)
	}
	o.Payments, o.Notify, o.Disputes, o.Providers, o.Keys = w.payments, w.alerts, store.NewDisputes(w.inner), registry, keys
	s, err := gateway.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func liveKeys(t *testing.T, s *gateway.Service) (live []gateway.Key) {
	t.Helper()
	found, err := s.ListKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range found {
		if k.RevokedAt.IsZero() {
			live = append(live, k)
		}
	}
	return live
}

// Guards "the same request again makes nothing new": of requests for a key that come at once under one Idempotency-Key, one
// gets the key, which is the only one that opens anything; the others get its record as a repetition, or are refused for
// other words; and so does each that comes later. Nothing else stands in the list.
func TestOneKeyForOneRequestAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	inner := store.NewKeys(w.inner)
	const callers = 4
	var all sync.WaitGroup
	all.Add(callers)
	s := keyDesk(t, w, together{Keys: inner, all: &all})
	plain := keyDesk(t, w, inner)
	ask := func(s *gateway.Service, words string) (string, gateway.Key, bool, error) {
		return s.IssueKey(t.Context(), gateway.Request{Caller: gateway.Caller{Operator: true, KeyID: "tk_op_x"}, Path: "/v1/api_keys", Key: "k", Fingerprint: words}, "shop", false, nil)
	}
	var mu sync.Mutex
	var tokens []string
	made, replayed := map[string]bool{}, 0
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			token, k, again, err := ask(s, "w")
			mu.Lock()
			defer mu.Unlock()
			if err != nil || again == (token != "") {
				t.Errorf("token %t, replayed %t, %v", token != "", again, err)
			}
			if made[k.Hash] = true; again {
				replayed++
			} else {
				tokens = append(tokens, token)
			}
		})
	}
	wg.Wait()
	live := liveKeys(t, plain)
	if len(tokens) != 1 || replayed != callers-1 || len(made) != 1 || len(live) != 1 || !made[live[0].Hash] {
		t.Fatalf("%d tokens, %d replayed, %d keys told, live %+v", len(tokens), replayed, len(made), live)
	}
	if _, err := plain.Authenticate(t.Context(), tokens[0]); err != nil {
		t.Errorf("the key that was given out: %v", err)
	}
	if token, k, again, err := ask(plain, "w"); err != nil || !again || token != "" || k.Hash != live[0].Hash {
		t.Errorf("later: %+v, replayed %t, %v", k, again, err)
	}
	if _, _, _, err := ask(plain, "other"); payment.CodeOf(err) != payment.CodeIdempotencyReused {
		t.Errorf("other words: %v", err)
	}
	if all, err := plain.ListKeys(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%d keys are listed, %v", len(all), err)
	}
	if n, err := inner.CountKeys(t.Context()); err != nil || n["shop"] != 1 || n[""] != 0 {
		t.Errorf("counted %v, %v", n, err)
	}
}

// Guards a request that broke off between its key and its claim: nobody was given that key, so the same request again gets
// one, and the other ends.
func TestKeyThatNobodyWasGivenEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	inner, inserts := store.NewKeys(w.inner), 0
	broken := keyDesk(t, w, together{Keys: inner, fail: func(gateway.Key) error {
		if inserts++; inserts == 2 {
			return gateway.ErrUnavailable
		}
		return nil
	}})
	r := gateway.Request{Caller: gateway.Caller{Operator: true, KeyID: "tk_op_x"}, Path: "/v1/api_keys", Key: "k", Fingerprint: "w"}
	if _, _, _, err := broken.IssueKey(t.Context(), r, "", true, nil); payment.CodeOf(err) != payment.CodeStoreUnavailable {
		t.Fatalf("broken off: %v", err)
	}
	token, k, again, err := broken.IssueKey(t.Context(), r, "", true, nil)
	if err != nil || again || token == "" {
		t.Fatalf("again: replayed %t, %v", again, err)
	}
	if live := liveKeys(t, broken); len(live) != 1 || live[0].Hash != k.Hash {
		t.Errorf("live are %+v", live)
	}
}
