package outbox_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// rig is payments and feeds over one store, with faults on demand.
type rig struct {
	t      *testing.T
	engine store.Engine // without faults
	mu     sync.Mutex
	write  func(store.WritePoint, faults.When) error
	reader *outbox.Reader
}

func newRig(t *testing.T) *rig {
	t.Helper()
	e, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, engine: e, reader: outbox.NewReader(store.NewFeed(e))}
}

// fault sets what happens around writes of the relays; nil: nothing.
func (r *rig) fault(fn func(store.WritePoint, faults.When) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write = fn
}

func (r *rig) faulty() store.Engine {
	return faults.Wrap(r.engine, faults.Options{Points: store.WritePoints(), Write: func(p store.WritePoint, w faults.When) error {
		r.mu.Lock()
		fn := r.write
		r.mu.Unlock()
		if fn == nil {
			return nil
		}
		return fn(p, w)
	}})
}

// service is the real marker.
func (r *rig) service(e store.Engine) *gateway.Service {
	r.t.Helper()
	registry, err := providers.NewRegistry()
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := gateway.New(gateway.Options{
		Payments: store.NewPayments(e), Keys: store.NewKeys(e), Notify: store.NewAlerts(e), Providers: registry,
		Clock: func() time.Time { return now.Add(time.Hour) }, Token: func() string { return "token" }, Logger: slog.New(slog.DiscardHandler),
		Render: func(*payment.Payment, payment.Event) ([]byte, error) { return []byte("{}"), nil },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// relay is one relay as a process of its own would run it.
func (r *rig) relay(mod ...func(*outbox.RelayOptions)) *outbox.Relay {
	r.t.Helper()
	e := r.faulty()
	o := outbox.RelayOptions{
		Payments: store.NewPayments(e), Marker: r.service(e), Pages: store.NewFeed(e), Clock: func() time.Time { return now }, Batch: 500,
	}
	for _, m := range mod {
		m(&o)
	}
	out, err := outbox.NewRelay(o)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// pay stores a payment of an app with n events waiting, and returns their ids.
func (r *rig) pay(app string, mode payment.Mode, name string, n int) []string {
	r.t.Helper()
	p := payment.New("pay_"+name, app, mode, payment.Terms{Amount: payment.Money{Minor: 1, Currency: "usd"}}, payment.Request{}, "t", now)
	p.Version = 1
	for i := range n {
		p.Outbox = append(p.Outbox, event(name, i))
	}
	if err := store.NewPayments(r.engine).Insert(r.t.Context(), p); err != nil {
		r.t.Error(err)
	}
	return idsOf(p.Outbox)
}

func event(name string, i int) payment.Event {
	return payment.Event{
		ID: fmt.Sprintf("evt_%s_%d", name, i), Type: "payment.succeeded", At: now, Object: "pay_" + name,
		Body: fmt.Appendf(nil, `{"id":"pay_%s","n":%d,"text":"a < b & c"}`, name, i),
	}
}

func idsOf(events []payment.Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func (r *rig) waiting(name string) int {
	r.t.Helper()
	p, err := store.NewPayments(r.engine).Get(r.t.Context(), "pay_"+name)
	if err != nil {
		r.t.Fatal(err)
	}
	return len(p.Outbox)
}

// feed reads a whole feed, a few at a time, and checks what always holds: 1, 2,
// 3, … without a gap, no id twice.
func (r *rig) feed(app string, mode payment.Mode) []outbox.Event {
	r.t.Helper()
	var all []outbox.Event
	seen := map[string]bool{}
	for cursor := ""; ; {
		events, next, err := r.reader.Read(r.t.Context(), app, mode, cursor, 7)
		if err != nil || next == "" {
			r.t.Fatalf("read: %v, next %q", err, next)
		}
		if len(events) == 0 {
			return all
		}
		for _, e := range events {
			if e.Sequence != int64(len(all))+1 {
				r.t.Fatalf("sequence %d at place %d", e.Sequence, len(all)+1)
			}
			if seen[e.ID] {
				r.t.Fatalf("%s stands in the feed twice", e.ID)
			}
			seen[e.ID] = true
			all = append(all, e)
		}
		cursor = next
	}
}

// wantFed checks that a feed holds exactly these events, those of each payment in
// their order.
func (r *rig) wantFed(app string, mode payment.Mode, want []string) {
	r.t.Helper()
	var got []string
	last := map[string]string{}
	for _, e := range r.feed(app, mode) {
		got = append(got, e.ID)
		if len(e.ID) == len(last[e.Payment]) && e.ID < last[e.Payment] {
			r.t.Errorf("%s comes after %s", e.ID, last[e.Payment])
		}
		last[e.Payment] = e.ID
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		r.t.Fatalf("the feed holds %d events, want %d", len(got), len(want))
	}
}

// run steps a relay until nothing waits.
func (r *rig) run(relay *outbox.Relay) {
	r.t.Helper()
	for range 100 {
		did, _, err := relay.Step(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if did == 0 {
			return
		}
	}
	r.t.Fatal("never done")
}

func mustJSON(t *testing.T, text json.RawMessage, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
