package alerts_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// replace changes the configuration: another process, with these channels and rules.
func (w *world) replace(rules alerts.Rules, names ...string) {
	w.t.Helper()
	old := w.channels
	w.channels, w.rules = map[string]*channel{}, rules
	for _, n := range names {
		if w.channels[n] = old[n]; w.channels[n] == nil {
			w.channels[n] = &channel{}
		}
	}
	w.open()
}

// Guards what waits for a channel that is replaced, by itself and in a digest: those who are configured now are told of
// it, once, wherever the process dies while it is handed on.
func TestReplacedChannelLeavesNobodyUntold(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		rules := route("mail")
		rules.Burst = 2
		w := newWorld(t, rules, "mail")
		w.channels["mail"].down()
		for i := range 6 {
			w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
		}
		w.quiet()
		w.replace(alerts.Rules{Routes: []alerts.Route{{Channels: []string{"slack"}, Failover: []string{"pager"}}}}, "slack", "pager")
		w.quiet()
		w.want("slack") // the process that still has the channel may be trying
		writes, inner := 0, w.engine
		w.engine = faults.Wrap(inner, faults.Options{Write: func(_ store.WritePoint, at faults.When) error {
			if writes++; writes == n {
				panic("crash")
			}
			return nil
		}})
		w.open()
		func() {
			defer func() { _ = recover() }()
			w.pass(time.Hour)
		}()
		w.engine = inner
		w.open()
		w.pass(time.Hour)
		if _, told := w.channels["slack"].count(); told < 6 || w.channels["slack"].unique() != 3 {
			t.Fatalf("crash at write %d: slack was told of %d of 6, in %d messages", n, told, w.channels["slack"].unique())
		}
		w.want("pager")
		if b, err := w.alerts.Box(t.Context(), "mail"); err != nil || len(b.Items)+len(b.Digest.Tallies) != 0 {
			t.Errorf("left behind: %v, %+v", err, b)
		}
		if n > writes {
			if n < 8 {
				t.Errorf("only %d writes in the whole story", writes)
			}
			return
		}
	}
}

// Guards the people of a channel that is renamed while one of their mailboxes is full: who has a message, or a digest, is
// not told again under the new name, and who lacks it gets it once there is room.
func TestRenamedChannelTellsNobodyTwice(t *testing.T) {
	t.Parallel()
	rules := route("mail")
	rules.Burst = 1
	w := newWorld(t, rules, "mail")
	s := &staff{got: map[string]int{}, err: map[string]error{"b": alerts.Failure{Cause: errors.New("452")}}}
	w.channels["mail"].fail = s.send
	for i := range 3 { // one by itself, two in a digest
		w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
	}
	w.pass(time.Hour)
	if !maps.Equal(s.got, map[string]int{"a": 2, "c": 2}) {
		t.Fatalf("before: %v", s.got)
	}
	rules.Routes = route("post").Routes
	w.replace(rules, "post")
	w.channels["post"].fail = s.send
	w.pass(time.Hour)
	if !maps.Equal(s.got, map[string]int{"a": 2, "c": 2}) {
		t.Errorf("under the new name: %v", s.got)
	}
	delete(s.err, "b")
	w.pass(2 * time.Hour)
	if !maps.Equal(s.got, map[string]int{"a": 2, "b": 2, "c": 2}) {
		t.Errorf("with room: %v", s.got)
	}
	if _, told := w.channels["post"].count(); told != 3 {
		t.Errorf("told of %d of 3", told)
	}
}

// Guards a change that is taken back: what was handed to a channel that never worked comes back to the first one.
func TestReplacedChannelComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("mail"), "mail")
	mail := w.channels["mail"]
	mail.down()
	w.raise("inc_1", "late_money", "critical")
	w.pass(3 * time.Minute)
	w.replace(route("slack"), "slack")
	w.channels["slack"].down()
	w.pass(20 * time.Minute)
	w.replace(route("mail"), "mail")
	w.channels["mail"] = mail
	mail.fail = nil
	w.open()
	w.pass(30 * time.Minute)
	w.want("mail", "failover critical late_money")
}

// Guards what waits for a channel that does not work when the one that stood in for it is removed, and then it as well:
// it counts as told by nobody, so the third is told.
func TestRemovedFailoverHasTakenNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alerts.Rules{Routes: []alerts.Route{{Channels: []string{"mail"}, Failover: []string{"slack"}}}}, "mail", "slack")
	w.channels["mail"].down()
	w.raise("inc_1", "late_money", "critical")
	w.quiet() // one failure: nobody stands in yet
	w.want("slack")
	w.replace(route("mail"), "mail")
	w.pass(time.Hour)
	w.replace(route("pager"), "pager")
	w.pass(time.Hour)
	w.want("pager", "failover critical late_money")
}

// Guards what no route would tell anybody of now: it stays where it is, and is sent when its channel is configured again.
func TestReplacedChannelWithoutHeirs(t *testing.T) {
	t.Parallel()
	rules := route("mail")
	rules.Burst = 1
	w := newWorld(t, rules, "mail")
	mail := w.channels["mail"]
	mail.down()
	for _, id := range []string{"inc_1", "inc_2"} {
		w.raise(id, "refund_failed", "warning")
	}
	w.quiet()
	w.replace(alerts.Rules{Routes: []alerts.Route{{MinSeverity: "critical", Channels: []string{"pager"}}}}, "pager")
	w.pass(2 * time.Hour)
	w.want("pager")
	w.replace(alerts.Rules{})
	w.pass(time.Hour)
	w.replace(rules, "mail")
	w.channels["mail"] = mail
	mail.fail = nil
	w.open()
	w.pass(time.Hour)
	if _, told := mail.count(); told != 2 {
		t.Errorf("mail was told of %d of 2", told)
	}
}

// Guards what was escalated to a channel that is replaced: it goes, as an escalation, to those who are escalated to now,
// also when that one is replaced in turn; and only where nothing is escalated any more to those who were told long ago.
func TestEscalationReachesTheReplacedChannelsHeirs(t *testing.T) {
	t.Parallel()
	rules := func(to ...string) alerts.Rules {
		r := route("mail")
		if len(to) > 0 {
			r.Escalations = []alerts.Escalation{{After: 15 * time.Minute, MinSeverity: "critical", Channels: to}}
		}
		return r
	}
	w := newWorld(t, rules("pager"), "mail", "pager")
	w.channels["pager"].down()
	w.raise("inc_1", "late_money", "critical")
	w.pass(16 * time.Minute)
	for _, next := range []string{"phone", "radio"} {
		w.replace(rules(next), "mail", next)
		if next == "phone" {
			w.channels[next].down()
		}
		w.pass(10 * time.Minute)
		w.set("inc_1", "acked", time.Time{}) // what waits goes on: it tells who does not know that yet
	}
	w.want("radio", "escalated critical late_money")
	w.want("mail", "new critical late_money")

	w = newWorld(t, rules("pager"), "mail", "pager")
	w.channels["pager"].down()
	w.raise("inc_1", "late_money", "critical")
	w.pass(16 * time.Minute)
	w.replace(rules(), "mail")
	w.pass(10 * time.Minute)
	w.want("mail", "new critical late_money", "escalated critical late_money")
}

// Guards replicas behind a slow channel, that takes half a minute for each message: however many wait, each process
// sends only what no other is sending.
func TestSlowChannelIsToldOnce(t *testing.T) {
	t.Parallel()
	rules := route("mail")
	rules.Burst = 20
	w := newWorld(t, rules, "mail")
	first := w.d
	w.owners++
	second := w.dispatcher()
	for i := range 10 {
		w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
	}
	nested := false
	w.channels["mail"].fail = func(alerts.Message) error {
		w.now = w.now.Add(29 * time.Second)
		if !nested { // while the first is sending, the second steps
			nested = true
			if _, _, err := second.Step(t.Context()); err != nil {
				t.Error(err)
			}
			nested = false
		}
		return nil
	}
	for range 3 {
		if _, _, err := first.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if messages, _ := w.channels["mail"].count(); messages != 10 || w.channels["mail"].unique() != 10 {
		t.Errorf("%d messages, %d different", messages, w.channels["mail"].unique())
	}
}

// Guards what comes after alerts that can't be queued, as their channel's queue can't be written: it is told, they are
// told by their other channels, and by the one itself once it is mended.
func TestQueueThatTakesNothingHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alerts.Rules{Burst: 500, Routes: []alerts.Route{
		{Kinds: []string{"late_money"}, Channels: []string{"mail", "slack"}},
		{Kinds: []string{"refund_failed"}, Channels: []string{"slack"}},
	}}, "mail", "slack")
	ctx := store.WithPoint(t.Context(), store.PointAlertBox)
	if err := w.engine.Insert(ctx, "alert_boxes", store.Doc{ID: "box/mail", Body: []byte(`{"schema":1,"box":{"Items":7}}`)}); err != nil {
		t.Fatal(err)
	}
	for i := range 150 { // more than one step looks at
		w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
	}
	w.now = w.now.Add(time.Second)
	w.raise("inc_last", "refund_failed", "warning")
	step := func(n int, each time.Duration) (failed int) {
		for range n {
			if _, _, err := w.d.Step(t.Context()); err != nil {
				failed++
			}
			w.now = w.now.Add(each)
		}
		return failed
	}
	if failed := step(20, time.Second) + step(35, time.Minute); failed == 0 {
		t.Error("nobody hears of the queue that takes nothing")
	}
	if _, told := w.channels["slack"].count(); told != 151 || w.channels["slack"].unique() != len(w.channels["slack"].got) {
		t.Errorf("slack was told of %d of 151", told)
	}
	if err := w.engine.Replace(ctx, "alert_boxes", store.Doc{ID: "box/mail", Body: []byte(`{"schema":1,"box":{"Channel":"mail"}}`)}, 1); err != nil {
		t.Fatal(err)
	}
	step(40, time.Minute)
	if _, told := w.channels["mail"].count(); told != 150 {
		t.Errorf("mail was told of %d of 150", told)
	}
}
