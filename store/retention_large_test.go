package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// weighed notes how many bytes one read of several documents brought at most.
type weighed struct {
	store.Engine
	most int
}

func (w *weighed) weigh(docs []store.Doc) {
	sum := 0
	for _, d := range docs {
		sum += len(d.Body)
	}
	w.most = max(w.most, sum)
}

func (w *weighed) Query(ctx context.Context, coll string, q store.Query) ([]store.Doc, string, error) {
	docs, next, err := w.Engine.Query(ctx, coll, q)
	w.weigh(docs)
	return docs, next, err
}

func (w *weighed) Scan(ctx context.Context, coll, after string, limit int) ([]store.Doc, string, error) {
	docs, next, err := w.Engine.Scan(ctx, coll, after, limit)
	w.weigh(docs)
	return docs, next, err
}

// Guards that housekeeping fits a small machine and an operation's time: pages of feeds and parts of webhooks are near
// the largest size of a document, so that a few of them are read at once, however many are due; and all that is due goes.
func TestHousekeepingReadsFewLargeRecordsAtOnce(t *testing.T) {
	t.Parallel()
	const many, most = 30, 9 << 20 // all of a kind together are twice as much as may be read at once
	e := &weighed{Engine: sealed(t, newMem(t), "a", "a")}
	old := now.Add(-500 * day)
	object := json.RawMessage(`{"t":"` + strings.Repeat("x", 400<<10) + `"}`)
	feed, in := store.NewFeed(e), store.NewInbox(e)
	for n := range int64(many) {
		page := outbox.Page{
			App: "shop", Mode: payment.ModeTest, N: n + 1, First: n + 1, Closed: true,
			Events: []outbox.Event{{ID: fmt.Sprint("evt_", n), CreatedAt: old.Add(time.Duration(n) * time.Minute), Sequence: n, Payment: "pay_1", Object: object}},
		}
		if err := feed.InsertPage(t.Context(), page); err != nil {
			t.Fatal(err)
		}
		r := inbox.Record{ID: fmt.Sprint("in_", n), State: inbox.Done, Account: "a", ReceivedAt: old, Digest: strings.Repeat("d", 64)}
		if _, _, err := in.Insert(t.Context(), r, object); err != nil {
			t.Fatal(err)
		}
	}
	e.most = 0
	if n, err := store.NewRetention(e).Feed(t.Context(), now, 500); err != nil || n != many-1 {
		t.Errorf("dropped %d pages of %d, %v", n, many, err)
	}
	if n, err := in.PruneBodies(t.Context(), now, 100); err != nil || n != many {
		t.Errorf("dropped %d bodies of %d, %v", n, many, err)
	}
	if e.most > most {
		t.Errorf("retention read %d MiB at once", e.most>>20)
	}
}

// Guards the same of a rotation of keys.
func TestRotationReadsFewLargeRecordsAtOnce(t *testing.T) {
	t.Parallel()
	inner := newMem(t)
	old := sealed(t, inner, "a", "a")
	for n := range 20 {
		body := fmt.Appendf(nil, `{"schema":1,"part":"%s"}`, strings.Repeat("QUJD", 150<<10))
		if err := old.Insert(t.Context(), "inbox_bodies", store.Doc{ID: fmt.Sprint("part", n), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	e := &weighed{Engine: inner}
	r := store.NewResealer(sealed(t, e, "b", "a", "b"), func() time.Time { return now })
	for range 200 {
		if _, _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s, err := r.State(t.Context())
	if err != nil || s.Phase != store.ResealDone || s.Written != 20 || s.Left() != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if e.most > 9<<20 {
		t.Errorf("the rotation read %d MiB at once", e.most>>20)
	}
}

// Guards retention behind what can't be read: events sealed under a lost key stay, and hold back none that came later.
func TestUnreadableEventsDoNotStopRetention(t *testing.T) {
	t.Parallel()
	inner := newMem(t)
	lost := store.NewInbox(sealed(t, inner, "a", "a"))
	s := store.NewInbox(sealed(t, inner, "b", "b"))
	insert := func(s *store.Inbox, id string, at time.Time, body string) {
		r := inbox.Record{ID: id, State: inbox.Done, Account: "a", ReceivedAt: at, Digest: strings.Repeat("d", 64)}
		if _, _, err := s.Insert(t.Context(), r, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 130 {
		insert(lost, fmt.Sprint("in_lost", n), now.Add(-500*day), `{"a":1}`)
	}
	for n := range 5 {
		insert(s, fmt.Sprint("in_kept", n), now.Add(-450*day), `{"a":1}`)
	}
	if n, err := s.PruneBodies(t.Context(), now.Add(-90*day), 100); n != 5 || err == nil {
		t.Errorf("dropped %d bodies, %v; want 5, and a word of the others", n, err)
	}
	r := store.NewRetention(sealed(t, inner, "b", "b"))
	if n, err := r.Inbox(t.Context(), now.Add(-400*day), 100); n != 5 || err != nil {
		t.Errorf("dropped %d events, %v, want 5", n, err)
	}
}
