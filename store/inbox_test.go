package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// golden compares a document's body with a file: a change of the stored form must
// be a decision. An added field is the file written anew (UPDATE_GOLDEN=1).
func golden(t *testing.T, file string, body []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, bytes.TrimSpace(body), "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the stored form changed (-golden +now):\n%s", diff)
	}
}

// received is an event with every field filled.
func received(n int, edit func(*inbox.Record)) inbox.Record {
	r := inbox.Record{
		ID: fmt.Sprintf("in_%03d", n), Provider: "stripe", Account: "acct", Connect: true,
		Event: providers.Event{
			Key: fmt.Sprint("key", n), ID: "evt", Type: "charge.succeeded", Created: now, Live: true, Account: "acct_c", Version: "v1",
			Object: providers.Ref{Kind: "charge", ID: "ch"}, Hint: providers.Hint{PaymentID: "pay", N: 2, Refs: []string{"pi"}}, Relevant: true,
		},
		Digest: strings.Repeat("ab", 32), Size: 3, ReceivedAt: now.Add(time.Duration(n) * time.Minute), State: inbox.Pending, Reason: "why",
		DueAt: now, Tries: 3, Woken: true, Traced: true, FirstMissed: now, Owner: "w/1", LeaseUntil: now.Add(time.Minute), Gen: 4,
		Variants: []string{"cd"}, Base: "in_base", Payment: "pay", DoneAt: now, Replays: 5,
	}
	if edit != nil {
		edit(&r)
	}
	return r
}

// Guards the stored form of events, and that what is stored is read back whole.
func TestInboxStoredForm(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	want := received(1, nil)
	if _, created, err := store.NewInbox(e).Insert(t.Context(), want, []byte("raw")); err != nil || !created {
		t.Fatalf("created %t, %v", created, err)
	}
	d, err := e.Get(t.Context(), "inbox", want.ID)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/inbox_v1.json", d.Body)
	got, err := store.NewInbox(e).Get(t.Context(), want.ID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("read back: %v\n%s", err, diff)
	}
}

// Guards bodies as evidence: an object stands in its document as it came, white space and
// all, through every change and under a key; what can't stand there comes back as well.
func TestInboxBodiesByteForByte(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		for name, e := range map[string]store.Engine{"plain": e, "sealed": sealed(t, e, "k1", "k1")} {
			for i, body := range []string{
				"{\n  \"id\": \"evt_1\",\t\"a\" : [ 1.0, 1e2, \"\\u003c<>&\" ]\n}", `{}`, ` {"a":1} `, `{"a":1}` + "\n", `[1]`, `"text"`, `null`,
				"{\"a\":\"\xff\"}", `{"sealed":["v1","k1.AAAA"]}`, `{"json":{"json":1},"event":{},"schema":2}`, `{"a":` + strings.Repeat("[", 8000) + strings.Repeat("]", 8000) + "}",
			} {
				s := store.NewInbox(e)
				r := received(i, func(r *inbox.Record) { r.ID = fmt.Sprintf("in_%s%d", name, i) })
				if _, created, err := s.Insert(t.Context(), r, []byte(body)); !created || err != nil {
					t.Fatalf("%s %.40q: created %t, %v", name, body, created, err)
				}
				for range 2 { // what is remembered, and what is read
					if _, ok, err := s.Change(t.Context(), r.ID, inbox.WriteWake, func(r inbox.Record) (inbox.Record, bool) { r.Replays++; return r, true }); !ok || err != nil {
						t.Fatalf("%s %.40q: changed %t, %v", name, body, ok, err)
					}
					s = store.NewInbox(e)
				}
				if got, err := s.Body(t.Context(), r.ID); err != nil || string(got) != body {
					t.Errorf("%s %.40q: %.40q came back, %v", name, body, got, err)
				}
				if got, err := s.Get(t.Context(), r.ID); err != nil || got.Replays != r.Replays+2 {
					t.Errorf("%s %.40q: %d replays, %v", name, body, got.Replays, err)
				}
			}
		}
	})
}

// Guards "a unique key, then 200": the second of two inserts gets the first's
// event, whatever its own body says, and bodies of every size come back byte for
// byte.
func TestInboxInsertOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewInbox(e)
		for i, size := range []int{0, 1, 16 << 10, 16<<10 + 1, 512 << 10, 512<<10 + 1, 1 << 20} {
			body := bytes.Repeat([]byte{0xff}, size) // a body need not be text
			r := received(i, func(r *inbox.Record) { r.Digest = fmt.Sprintf("%064d", i) })
			if _, created, err := s.Insert(t.Context(), r, body); !created || err != nil {
				t.Fatalf("%d bytes: created %t, %v", size, created, err)
			}
			later := r
			later.ReceivedAt, later.Digest = now.Add(time.Hour), strings.Repeat("f", 64)
			stored, created, err := s.Insert(t.Context(), later, []byte("another"))
			if created || err != nil || !stored.ReceivedAt.Equal(r.ReceivedAt) {
				t.Errorf("%d bytes again: created %t, %v", size, created, err)
			}
			if got, err := s.Body(t.Context(), r.ID); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
			}
		}
		if _, err := s.Get(t.Context(), "in_nothing"); !errors.Is(err, inbox.ErrNotFound) {
			t.Errorf("get: %v", err)
		}
		if _, _, err := s.Change(t.Context(), "in_nothing", inbox.WriteWake, nil); !errors.Is(err, inbox.ErrNotFound) {
			t.Errorf("change: %v", err)
		}
	})
}

// Guards the worker's queue: due are pending events whose time has come, and
// final ones that somebody has yet to be told of, soonest first; a change moves
// them, and one that changes nothing writes nothing.
func TestInboxDue(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewInbox(e)
		for i, c := range []struct {
			state inbox.State
			due   time.Duration // 0: none
		}{
			{inbox.Pending, -2 * time.Minute},
			{inbox.Pending, time.Millisecond},
			{inbox.Done, 0},
			{inbox.Irrelevant, 0},
			{inbox.Parked, -3 * time.Minute},
			{inbox.Parked, 0},
			{inbox.Dead, -time.Minute},
			{inbox.Pending, -4 * time.Minute},
		} {
			r := received(i, func(r *inbox.Record) {
				if r.State, r.DueAt = c.state, now.Add(c.due); c.due == 0 {
					r.DueAt = time.Time{}
				}
			})
			if _, _, err := s.Insert(t.Context(), r, nil); err != nil {
				t.Fatal(err)
			}
		}
		due := func(limit int) string {
			t.Helper()
			list, err := s.Due(t.Context(), now, limit)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, r := range list {
				ids = append(ids, r.ID[3:])
			}
			return strings.Join(ids, " ")
		}
		if got := due(10); got != "007 004 000 006" {
			t.Errorf("due: %s", got)
		}
		if got := due(2); got != "007 004" {
			t.Errorf("the first two: %s", got)
		}
		r, ok, err := s.Change(t.Context(), "in_007", inbox.WriteClaim, func(r inbox.Record) (inbox.Record, bool) {
			r.DueAt = now.Add(time.Hour)
			return r, true
		})
		if !ok || err != nil || !r.DueAt.Equal(now.Add(time.Hour)) {
			t.Errorf("change: %t, %v", ok, err)
		}
		if got := due(10); got != "004 000 006" {
			t.Errorf("due after the change: %s", got)
		}
		before, _ := e.Get(t.Context(), "inbox", "in_007")
		if _, ok, err := s.Change(t.Context(), "in_007", inbox.WriteClaim, func(r inbox.Record) (inbox.Record, bool) { return r, false }); ok || err != nil {
			t.Errorf("no change: %t, %v", ok, err)
		}
		if after, _ := e.Get(t.Context(), "inbox", "in_007"); after.Version != before.Version {
			t.Error("no change was written")
		}
	})
}

// Guards the operator's list: every filter, newest first, over page ends.
func TestInboxList(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewInbox(e)
		var all []inbox.Record
		for i := range 24 {
			r := received(i, func(r *inbox.Record) {
				r.State = inbox.States()[i%5]
				r.Account = []string{"a", "b", "c"}[i%3]
			})
			all = append([]inbox.Record{r}, all...)
			if _, _, err := s.Insert(t.Context(), r, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range []inbox.Filter{
			{}, {State: inbox.Dead}, {Account: "b"}, {State: inbox.Parked, Account: "c"}, {State: "none"}, {Account: "none"},
		} {
			var want, got []string
			for _, r := range all {
				if (f.State == "" || r.State == f.State) && (f.Account == "" || r.Account == f.Account) {
					want = append(want, r.ID)
				}
			}
			for f.Limit = 3; ; {
				page, next, err := s.List(t.Context(), f)
				if err != nil || len(page) > 3 {
					t.Fatalf("%d, %v", len(page), err)
				}
				for _, r := range page {
					got = append(got, r.ID)
				}
				if f.After = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %v, want %v", f, got, want)
			}
		}
	})
}

// Guards the inbox's finder: absent is no error, an outage is.
func TestFindPayment(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	s := store.NewPayments(e)
	simple(t, s, 1, nil)
	if p, ok, err := s.Find(t.Context(), "pay_001"); !ok || err != nil || p.ID != "pay_001" {
		t.Errorf("there: %t, %v", ok, err)
	}
	if _, ok, err := s.Find(t.Context(), "pay_none"); ok || err != nil {
		t.Errorf("absent: %t, %v", ok, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Find(t.Context(), "pay_001"); ok || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("closed: %t, %v", ok, err)
	}
}

// Guards "an orphan is recorded once": whoever sees it again, the first sighting
// stays.
func TestOrphans(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewOrphans(e)
		o := inbox.Orphan{Provider: "paypal", Account: "a", Object: providers.Ref{Kind: "capture", ID: "1"}, Claimed: "pay_x", Event: "e1", SeenAt: now}
		for i := range 3 {
			o.SeenAt = now.Add(time.Duration(i) * time.Hour)
			if err := s.RecordOrphan(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		o.Account = "b" // the same id at another account is another object
		if err := s.RecordOrphan(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		list, next, err := s.List(t.Context(), "a", 10, "")
		if err != nil || next != "" || len(list) != 1 || !list[0].FirstSeen.Equal(now) || list[0].Claimed != "pay_x" {
			t.Errorf("%+v, %v", list, err)
		}
		if list, _, err = s.List(t.Context(), "", 10, ""); err != nil || len(list) != 2 {
			t.Errorf("%d in all, %v", len(list), err)
		}
	})
}

// Guards an event that the provider sends again after retention dropped it: it is a new
// one, though its versions are those of the old one, which this process still remembers.
func TestInboxEventComesAgainAfterRetention(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s, elsewhere := store.NewInbox(e), store.NewInbox(e)
		settle := func(s *store.Inbox, as inbox.State) {
			if _, ok, err := s.Change(t.Context(), "in_001", inbox.WriteSettle, func(r inbox.Record) (inbox.Record, bool) {
				r.State, r.DueAt = as, time.Time{}
				return r, true
			}); err != nil || !ok {
				t.Fatalf("settled %t, %v", ok, err)
			}
		}
		if _, _, err := s.Insert(t.Context(), received(1, nil), nil); err != nil {
			t.Fatal(err)
		}
		settle(s, inbox.Done)
		if n, err := store.NewRetention(e).Inbox(t.Context(), now.Add(time.Hour), 10); n != 1 || err != nil {
			t.Fatalf("%d dropped, %v", n, err)
		}
		// It comes to another process, which parks it; this one looks for it at version 2.
		again := received(1, func(r *inbox.Record) { r.Reason, r.ReceivedAt = "again", now.Add(time.Hour) })
		if _, created, err := elsewhere.Insert(t.Context(), again, nil); !created || err != nil {
			t.Fatal(created, err)
		}
		if _, _, err := elsewhere.Change(t.Context(), "in_001", inbox.WriteSettle, func(r inbox.Record) (inbox.Record, bool) {
			r.State = inbox.Parked
			return r, true
		}); err != nil {
			t.Fatal(err)
		}
		due, err := s.Due(t.Context(), now.Add(time.Hour), 10)
		if err != nil || len(due) != 1 || due[0].State != inbox.Parked || due[0].Reason != "again" {
			t.Errorf("due: %+v, %v", due, err)
		}
	})
}

// Guards the stored form of an event whose body stands as it came, fresh from the
// provider: what is zero is left out.
func TestInboxStoredFormOfJSON(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	r := received(1, nil)
	r = inbox.Record{ID: r.ID, Provider: r.Provider, Account: r.Account, Event: r.Event, Digest: r.Digest, Size: r.Size, ReceivedAt: r.ReceivedAt, State: r.State, DueAt: r.DueAt}
	if _, created, err := store.NewInbox(e).Insert(t.Context(), r, []byte(`{"id":"evt"}`)); err != nil || !created {
		t.Fatalf("created %t, %v", created, err)
	}
	d, err := e.Get(t.Context(), "inbox", r.ID)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/inbox_v1_json.json", d.Body)
}

// Guards erasure against a body that two readers take for two things: what stands under a name that comes again is
// found all the same.
func TestAmbiguousBodiesAreErased(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	trade(t, e)
	s := store.NewInbox(e)
	body := `{"email":"` + annEmail + `","email":"nobody"}`
	r := received(1, func(r *inbox.Record) {
		r.State, r.Reason, r.Payment, r.Event.Hint = inbox.Parked, inbox.ReasonAmbiguous, "", providers.Hint{}
	})
	if _, _, err := s.Insert(t.Context(), r, []byte(body)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Body(t.Context(), r.ID); err != nil || string(got) != body {
		t.Fatalf("kept as %s, %v", got, err)
	}
	if got := eraseIn(t, e, store.Erasure{Ref: "ann", Email: annEmail, Texts: true}); got.State != store.ErasureDone {
		t.Errorf("%+v", got)
	}
	if body, err := s.Body(t.Context(), r.ID); err != nil || len(body) > 0 {
		t.Errorf("the erasure left %s, %v", body, err)
	}
}
