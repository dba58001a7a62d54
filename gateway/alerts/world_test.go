package alerts_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// channel is a fake: it takes messages unless told otherwise.
type channel struct {
	got  []alerts.Message
	fail func(alerts.Message) error
}

func (c *channel) Send(_ context.Context, m alerts.Message) error {
	if c.fail != nil {
		if err := c.fail(m); err != nil {
			return err
		}
	}
	c.got = append(c.got, m)
	return nil
}

func (c *channel) down() { c.fail = func(alerts.Message) error { return errors.New("down") } }

// count is how many alerts the channel has been told of, alone or in digests.
func (c *channel) count() (messages int, told int64) {
	for _, m := range c.got {
		if m.Reason == "digest" {
			told += m.More
		} else {
			told++
		}
	}
	return len(c.got), told
}

// unique is how many different messages came.
func (c *channel) unique() int {
	ids := map[string]bool{}
	for _, m := range c.got {
		ids[m.ID] = true
	}
	return len(ids)
}

// world is a dispatcher over a store in memory, and time.
type world struct {
	t        *testing.T
	now      time.Time
	engine   store.Engine
	alerts   *store.Alerts
	channels map[string]*channel
	rules    alerts.Rules
	d        *alerts.Dispatcher
	owners   int
	sent     map[string]int // results that were observed
}

var start = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, rules alerts.Rules, names ...string) *world {
	t.Helper()
	e, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: start, engine: faults.Wrap(e, faults.Options{Points: store.WritePoints()}), rules: rules, channels: map[string]*channel{}, sent: map[string]int{}}
	for _, n := range names {
		w.channels[n] = &channel{}
	}
	w.open()
	return w
}

// open starts a new process over the same store.
func (w *world) open() {
	w.t.Helper()
	w.owners++
	w.alerts = store.NewAlerts(w.engine)
	w.d = w.dispatcher()
}

func (w *world) dispatcher() *alerts.Dispatcher {
	w.t.Helper()
	channels := map[string]alerts.Channel{}
	for n, c := range w.channels {
		channels[n] = c
	}
	d, err := alerts.New(alerts.Options{
		Store: w.alerts, Rules: w.rules, Channels: channels, Clock: func() time.Time { return w.now }, Owner: fmt.Sprint("process-", w.owners),
		PublicURL: "https://pay.example.com", Logger: discard(), Sent: func(_, result string) { w.sent[result]++ },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) raise(id, kind, severity string) {
	w.t.Helper()
	err := w.alerts.Raise(w.t.Context(), gateway.AlertRecord{
		ID: id, Mode: payment.ModeLive, Account: "stripe-eu", Payment: "pay_1", Kind: kind, Severity: severity, State: "open",
		Message: "It happened: " + id + ".", Count: 1, FirstSeen: w.now, LastSeen: w.now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) set(id, state string, until time.Time) {
	w.t.Helper()
	err := w.alerts.Change(w.t.Context(), id, func(a gateway.AlertRecord) (gateway.AlertRecord, error) {
		a.State, a.SnoozedUntil = state, until
		return a, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// quiet steps until nothing is left to do now.
func (w *world) quiet() {
	w.t.Helper()
	for range 1000 {
		did, _, err := w.d.Step(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if did == 0 {
			return
		}
	}
	w.t.Fatal("never quiet")
}

// pass lets time pass, in steps of a minute.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(time.Minute)
		w.quiet()
	}
}

// want compares what a channel got, as "reason severity kind".
func (w *world) want(name string, want ...string) {
	w.t.Helper()
	var got []string
	for _, m := range w.channels[name].got {
		got = append(got, m.Reason+" "+m.Severity+" "+m.Kind)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("%s got %q, want %q", name, got, want)
	}
}

func route(channels ...string) alerts.Rules {
	return alerts.Rules{Routes: []alerts.Route{{Channels: channels}}}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
