package outbox_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// Guards what product apps rely on: the exact members of an event, and its object as it
// was rendered.
func TestEventJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pay("shop", payment.ModeTest, "a", 2)
	r.run(r.relay())
	list, next, err := r.reader.ReadJSON(t.Context(), "shop", payment.ModeTest, "", 100)
	if err != nil || len(list) != 2 || next == "" {
		t.Fatalf("%d events, %v", len(list), err)
	}
	const want = `{"id":"evt_a_1","object":"event","type":"payment.succeeded","created_at":"2026-05-04T12:00:00Z","sequence":2,` +
		`"data":{"object":{"id":"pay_a","n":1,"text":"a < b & c"}}}`
	if diff := cmp.Diff(want, string(list[1])); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	var e struct {
		CreatedAt time.Time `json:"created_at"`
	}
	mustJSON(t, list[0], &e)
	if !e.CreatedAt.Equal(now) {
		t.Errorf("created_at %s", e.CreatedAt)
	}
}

// Guards "next is always a cursor to resume from": at the start, in a page, at the
// end of a page, at the end of the feed, before there is any feed. Old cursors
// keep their place whatever is fed afterwards.
func TestCursorsAreStable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	read := func(after string, limit int) ([]outbox.Event, string) {
		t.Helper()
		events, next, err := r.reader.Read(t.Context(), "shop", payment.ModeTest, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		return events, next
	}
	none, start := read("", 10)
	if len(none) != 0 || start == "" {
		t.Fatalf("empty feed: %d events, cursor %q", len(none), start)
	}
	cursors := []string{start} // cursors[i] is the place after event i
	relay := r.relay()
	for i := range 5 {
		r.pay("shop", payment.ModeTest, fmt.Sprint("p", i), 50)
		r.run(relay)
		for {
			events, next := read(cursors[len(cursors)-1], 1)
			if len(events) == 0 {
				if _, again := read(next, 1); again != next {
					t.Error("the cursor at the end moves by itself")
				}
				break
			}
			cursors = append(cursors, next)
		}
	}
	if len(cursors) != 251 {
		t.Fatalf("%d cursors", len(cursors))
	}
	for i, c := range cursors {
		events, _ := read(c, 3)
		if want := min(3, 250-i); len(events) != want {
			t.Fatalf("after event %d: %d events, want %d", i, len(events), want)
		}
		for k, e := range events {
			if e.Sequence != int64(i+k+1) {
				t.Fatalf("after event %d comes %d", i, e.Sequence)
			}
		}
	}
	if events, _ := read("", 1000); len(events) != outbox.MaxRead {
		t.Errorf("limit 1000 gives %d events", len(events))
	}
	if events, _ := read("", 0); len(events) != 1 {
		t.Errorf("limit 0 gives %d events", len(events))
	}
}

// Guards E11: a broken cursor, or one of another app or mode, is malformed.
func TestBadCursors(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pay("shop", payment.ModeTest, "a", 5)
	r.pay("shop", payment.ModeLive, "b", 5)
	r.pay("other", payment.ModeTest, "c", 5)
	r.run(r.relay())
	_, good, err := r.reader.Read(t.Context(), "shop", payment.ModeTest, "", 2)
	if err != nil {
		t.Fatal(err)
	}
	_, live, _ := r.reader.Read(t.Context(), "shop", payment.ModeLive, "", 2)
	_, other, _ := r.reader.Read(t.Context(), "other", payment.ModeTest, "", 2)
	for _, bad := range []string{
		"x", "1:2", good[1:], good + "A", good + "=", good + "\n", strings.ToUpper(good), live, other, "../../etc", "\x00",
		strings.Repeat("A", 5000),
	} {
		if _, _, err := r.reader.Read(t.Context(), "shop", payment.ModeTest, bad, 2); payment.CodeOf(err) != payment.CodeMalformed {
			t.Errorf("cursor %.40q: %v, want malformed", bad, err)
		}
	}
}

// Guards E11: a cursor in which one bit was changed, be it of its page or index, is malformed: it leads nobody past events
// that they have not read.
func TestTamperedCursors(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pay("shop", payment.ModeTest, "a", 5)
	r.run(r.relay())
	_, good, err := r.reader.Read(t.Context(), "shop", payment.ModeTest, "", 2)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			bad := base64.RawURLEncoding.EncodeToString(changed)
			if _, _, err := r.reader.Read(t.Context(), "shop", payment.ModeTest, bad, 2); payment.CodeOf(err) != payment.CodeMalformed || strings.Contains(err.Error(), "ahead") {
				t.Errorf("byte %d, bit %d: %v, want malformed", i, bit, err)
			}
		}
	}
}

// Guards "no cursor ever skips": a reader that follows the feed while it is
// written sees every event once, in order.
func TestFollowingReader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const payments, each = 40, 12
	var wg sync.WaitGroup
	for range 3 {
		relay := r.relay(func(o *outbox.RelayOptions) { o.Batch = 5 })
		wg.Go(func() {
			for {
				did, _, err := relay.Step(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if p, _, _ := store.NewFeed(r.engine).Last(t.Context(), "shop", payment.ModeTest); did == 0 && p.First+int64(len(p.Events)) > payments*each {
					return
				}
			}
		})
	}
	wg.Go(func() {
		for i := range payments {
			r.pay("shop", payment.ModeTest, fmt.Sprint("p", i), each)
		}
	})
	cursor, last := "", int64(0)
	for last < payments*each {
		list, next, err := r.reader.ReadJSON(t.Context(), "shop", payment.ModeTest, cursor, 9)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range list {
			var e struct {
				Sequence int64           `json:"sequence"`
				Data     json.RawMessage `json:"data"`
			}
			mustJSON(t, text, &e)
			if e.Sequence != last+1 {
				t.Fatalf("after %d comes %d", last, e.Sequence)
			}
			last = e.Sequence
		}
		cursor = next
	}
	wg.Wait()
}

// Guards against silent loss under retention: a reader whose cursor is older than what
// is kept is told so, and never simply continued behind the gap; one without a cursor
// begins with what is kept, and one at the end notices nothing.
func TestCursorOlderThanTheFeed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	relay := r.relay()
	for i := range 5 {
		r.pay("shop", payment.ModeTest, fmt.Sprint("p", i), outbox.MaxPageEvents/2)
		r.run(relay)
	}
	read := func(after string) ([]outbox.Event, string, error) {
		return r.reader.Read(t.Context(), "shop", payment.ModeTest, after, outbox.MaxRead)
	}
	_, early, err := r.reader.Read(t.Context(), "shop", payment.ModeTest, "", 5)
	if err != nil {
		t.Fatal(err)
	}
	last := early
	for more := true; more; {
		var events []outbox.Event
		if events, last, err = read(last); err != nil {
			t.Fatal(err)
		}
		more = len(events) > 0
	}
	n, err := store.NewRetention(r.engine).Feed(t.Context(), now.Add(time.Hour), 100)
	if err != nil || n != 2 {
		t.Fatalf("%d pages dropped, %v", n, err)
	}
	_, _, err = read(early)
	if payment.CodeOf(err) != payment.CodeMalformed || !strings.Contains(err.Error(), "no longer kept") {
		t.Errorf("with an old cursor: %v", err)
	}
	events, _, err := read("")
	if err != nil || len(events) == 0 || events[0].Sequence != 2*outbox.MaxPageEvents+1 {
		t.Errorf("from the beginning: %d events, %v", len(events), err)
	}
	if events, next, err := read(last); err != nil || len(events) != 0 || next != last {
		t.Errorf("at the end: %d events, %v", len(events), err)
	}
}

// Guards against silent loss after a restored backup: a reader whose cursor is further than the feed is told so, at any
// distance; it is not kept waiting until others' events have filled the feed up to its place.
func TestCursorAheadOfTheFeed(t *testing.T) {
	t.Parallel()
	before := newRig(t)
	for i := range 5 {
		before.pay("shop", payment.ModeTest, fmt.Sprint("p", i), outbox.MaxPageEvents/2)
		before.run(before.relay())
	}
	cursors := []string{}
	for _, limit := range []int{30, outbox.MaxPageEvents} { // within pages, and between them
		for cursor, more := "", true; more; {
			events, next, err := before.reader.Read(t.Context(), "shop", payment.ModeTest, cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			if more = len(events) > 0; more {
				cursor, cursors = next, append(cursors, next)
			}
		}
	}
	for _, events := range []int{0, 10} { // in the backup
		r := newRig(t)
		if events > 0 {
			r.pay("shop", payment.ModeTest, "p0", events)
			r.run(r.relay())
		}
		for _, cursor := range cursors {
			if _, _, err := r.reader.Read(t.Context(), "shop", payment.ModeTest, cursor, 30); payment.CodeOf(err) != payment.CodeMalformed || !strings.Contains(err.Error(), "restored from a backup") {
				t.Errorf("with %d events in the backup, a cursor ahead of them: %v", events, err)
			}
		}
		if list, _, err := r.reader.Read(t.Context(), "shop", payment.ModeTest, "", 30); err != nil || len(list) != events {
			t.Errorf("from the beginning: %d events, %v", len(list), err)
		}
	}
}
