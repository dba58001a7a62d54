package alerts_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
)

// Guards that one of a channel's people who can't be reached is no trouble of the channel: the others have the message,
// and get it once.
func TestPartlySent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alerts.Rules{Routes: []alerts.Route{{Channels: []string{"mail"}, Failover: []string{"slack"}}}}, "mail", "slack")
	tries := 0
	w.channels["mail"].fail = func(alerts.Message) error {
		tries++
		return alerts.Partial{Missed: 1, Of: 3, Cause: errors.New("550")}
	}
	for i := range 3 {
		w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
	}
	w.pass(2 * time.Hour)
	if b, err := w.alerts.Box(t.Context(), "mail"); err != nil || len(b.Items) != 0 || b.Failures != 0 || tries != 3 {
		t.Errorf("%v, %d tries: %+v", err, tries, b)
	}
	w.want("slack")
	if w.sent[alerts.ResultSent] != 3 || w.sent[alerts.ResultRefused] != 3 || len(w.sent) != 2 {
		t.Errorf("observed %v", w.sent)
	}
}

// days lets days pass, in steps of half of one.
func (w *world) days(n int) {
	w.t.Helper()
	for range n * 2 {
		w.now = w.now.Add(12 * time.Hour)
		w.quiet()
	}
}

// staff is a channel of people, each of whom may be put off or refused.
type staff struct {
	got   map[string]int // messages, by person
	err   map[string]error
	tries int
}

func (s *staff) send(m alerts.Message) error {
	s.tries++
	p := alerts.Partial{Of: 3, Done: slices.Clone(m.Done), Cause: errors.New("not all")}
	took := false
	for _, person := range []string{"a", "b", "c"} {
		if slices.Contains(m.Done, person) {
			continue
		}
		if f, ok := errors.AsType[alerts.Failure](s.err[person]); ok && !f.Permanent {
			p.Later++
			continue
		} else if ok {
			p.Missed++
		} else {
			took = true
			s.got[person]++
		}
		p.Done = append(p.Done, person)
	}
	switch {
	case p.Missed+p.Later == 0:
		return nil
	case took || p.Later == 0:
		return p
	}
	return alerts.Failure{Permanent: true, Cause: errors.New("still not")}
}

// Guards those of a channel's people who can't get a message now: it waits for them alone, also over a restart, while the
// others have it once and nothing else of the channel waits; who is refused it for good is counted once.
func TestWhoWasPutOffGetsItLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alerts.Rules{Routes: []alerts.Route{{Channels: []string{"mail"}, Failover: []string{"slack"}}}}, "mail", "slack")
	s := &staff{got: map[string]int{}, err: map[string]error{"b": alerts.Failure{Cause: errors.New("450")}, "c": alerts.Failure{Permanent: true, Cause: errors.New("550")}}}
	w.channels["mail"].fail = s.send
	for i := range 3 {
		w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
		w.quiet()
	}
	if b, err := w.alerts.Box(t.Context(), "mail"); err != nil || len(b.Items) != 3 || b.Failures != 0 || s.got["a"] != 3 {
		t.Errorf("%v, %v: %+v", err, s.got, b)
	}
	w.open()
	w.pass(time.Hour)
	if s.tries > 40 {
		t.Errorf("%d tries", s.tries)
	}
	delete(s.err, "b")
	w.pass(20 * time.Minute)
	if b, err := w.alerts.Box(t.Context(), "mail"); err != nil || len(b.Items) != 0 || !maps.Equal(s.got, map[string]int{"a": 3, "b": 3}) {
		t.Errorf("%v, %v: %+v", err, s.got, b)
	}
	w.want("slack")
	if w.sent[alerts.ResultPartly] != 3 || w.sent[alerts.ResultSent] != 3 || w.sent[alerts.ResultRefused] != 3 {
		t.Errorf("observed %v", w.sent)
	}
	for result := range w.sent {
		if !slices.Contains(alerts.Results(), result) {
			t.Errorf("observed %q, which is no result", result)
		}
	}
}

// Guards everybody else from one mailbox that is full for weeks: what comes later still goes out by itself and at once,
// and what nobody can take is given up after a week.
func TestOneFullMailboxHoldsUpNobody(t *testing.T) {
	t.Parallel()
	rules := alerts.Rules{Routes: []alerts.Route{{Channels: []string{"mail"}}}, Burst: 1000}
	w := newWorld(t, rules, "mail")
	s := &staff{got: map[string]int{}, err: map[string]error{"c": alerts.Failure{Cause: errors.New("452")}}}
	w.channels["mail"].fail = s.send
	for i := range 70 {
		w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
		w.quiet()
		if s.got["a"] != i+1 {
			t.Fatalf("alert %d was not told at once", i)
		}
	}
	b, err := w.alerts.Box(t.Context(), "mail")
	if err != nil || len(b.Items) != 50 || b.Items[49].Alert != "inc_69" || w.sent[alerts.ResultGaveUp] != 70-len(b.Items) {
		t.Errorf("%v, %d wait, %v", err, len(b.Items), w.sent)
	}
	w.days(8)
	if b, err = w.alerts.Box(t.Context(), "mail"); err != nil || len(b.Items) != 0 || s.got["a"] != 70 || w.sent[alerts.ResultGaveUp] != 70 {
		t.Errorf("%v, %d wait, %v, %v", err, len(b.Items), s.got, w.sent)
	}
}

// Guards people behind a server that takes each message and never says so in time: each alert comes at once, what stands
// in is told as well, and it is repeated seldom and not for ever, while digests come too.
func TestWhatMayHaveBeenTakenIsRepeatedSeldom(t *testing.T) {
	t.Parallel()
	rules := alerts.Rules{Routes: []alerts.Route{{Channels: []string{"mail"}, Failover: []string{"slack"}}}, Burst: 4}
	w := newWorld(t, rules, "mail", "slack")
	copies := map[string]int{}
	w.channels["mail"].fail = func(m alerts.Message) error {
		copies[m.ID]++
		return alerts.Failure{Unknown: true, Cause: errors.New("no answer")}
	}
	w.raise("inc_0", "late_money", "critical")
	w.pass(time.Minute)
	w.want("slack", "failover critical late_money")
	for i := range 5 {
		w.raise(fmt.Sprint("inc_", i+1), "late_money", "critical")
		w.pass(time.Minute)
	}
	if len(copies) != 4 {
		t.Errorf("%d of 4 were tried at once", len(copies))
	}
	w.pass(55 * time.Minute)
	if _, told := w.channels["slack"].count(); len(copies) != 5 || told != 6 {
		t.Errorf("%d messages, slack was told of %d", len(copies), told)
	}
	for id, n := range copies {
		if n > 3 {
			t.Errorf("%s came %d times within an hour", id, n)
		}
	}
	w.days(9)
	for id, n := range copies {
		if n > 20 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	if b, err := w.alerts.Box(t.Context(), "mail"); err != nil || len(b.Items) != 0 || w.sent[alerts.ResultGaveUp] != 5 {
		t.Errorf("%v, %d wait, %v", err, len(b.Items), w.sent)
	}
}
