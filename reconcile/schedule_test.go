package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/reconcile"
)

// syncBuffer collects log lines of several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Promise: a step that panics or fails is called again and keeps nobody else from
// being called; both stand in the log. Stopping ends the steps' contexts and waits
// for them. A step is never called twice at once.
func TestSchedule(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	again, worked, started := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var calls, works int
	var ended error
	steps := []reconcile.Step{
		{Name: "panics", Every: time.Millisecond, Step: func(context.Context) (int, time.Time, error) {
			if calls++; calls == 3 { // unguarded on purpose: the race detector proves that calls never overlap
				close(again)
			}
			if calls == 1 {
				panic("first call")
			}
			return 0, time.Time{}, errors.New("later call")
		}},
		{Name: "works", Every: time.Millisecond, Step: func(context.Context) (int, time.Time, error) {
			if works++; works == 3 {
				close(worked)
			}
			return 1, time.Time{}, nil
		}},
		{Name: "long", Every: time.Hour, Step: func(ctx context.Context) (int, time.Time, error) {
			close(started)
			<-ctx.Done()
			ended = ctx.Err()
			return 0, time.Time{}, nil
		}},
	}
	s, err := reconcile.NewSchedule(steps, slog.New(slog.NewTextHandler(&log, nil)), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	<-again
	<-worked
	<-started
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if ended == nil {
		t.Error("Stop did not wait for a running step")
	}
	if text := log.String(); !strings.Contains(text, "step panicked") || !strings.Contains(text, "later call") || !strings.Contains(text, "step=panics") {
		t.Errorf("log: %s", text)
	}
}

// Promise: a step that can't be scheduled is an error at start, not a job that
// never runs.
func TestScheduleRefusesNonsense(t *testing.T) {
	t.Parallel()
	_, err := reconcile.NewSchedule([]reconcile.Step{{Name: "never"}}, slog.New(slog.DiscardHandler), time.Second)
	if err == nil {
		t.Fatal("a step with no interval was scheduled")
	}
}

// Promise: steps carry the names and intervals that a scheduler needs, one sweep
// for each account that can list.
func TestSteps(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	l := newLab(t, c, options{}, newFake("acct", c, "money"), newFake("mute", c))
	var names []string
	for _, s := range l.rec.Steps() {
		if s.Every <= 0 || s.Step == nil {
			t.Errorf("step %+v can't be called", s)
		}
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "reconcile/due reconcile/sweep/acct reconcile/janitor reconcile/requested" {
		t.Fatalf("steps %s", got)
	}
	if _, err := reconcile.New(reconcile.Options{}); err == nil {
		t.Fatal("made of nothing")
	}
}
