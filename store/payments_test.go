package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/sqlite"
)

// onEngines runs a test over memory, over memory with everything personal sealed, and over a SQLite file.
func onEngines(t *testing.T, test func(t *testing.T, e store.Engine)) {
	t.Helper()
	t.Run("mem", func(t *testing.T) {
		t.Parallel()
		test(t, newMem(t))
	})
	t.Run("sealed", func(t *testing.T) {
		t.Parallel()
		test(t, sealed(t, newMem(t), "k1", "k1"))
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "t.db"), Collections: store.Collections()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, e)
	})
}

// fill gives every field below v a value of its own that is not its zero value and depends on nothing but the field's
// path, so that a field added elsewhere leaves it alone.
func fill(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	n := int64(crc32.ChecksumIEEE([]byte(path)))
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(now.Add(time.Duration(n) * time.Millisecond)))
		return
	case v.Type() == reflect.TypeFor[[]byte]():
		v.SetBytes([]byte(path))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(path)
	case reflect.Int, reflect.Int64:
		v.SetInt(n + 1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), fmt.Sprintf("%s.%d", path, i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, path+".key")
		fill(t, value, path+".value")
		v.SetMapIndex(key, value)
	default:
		t.Fatalf("%s is a %s: teach fill about it, and check that JSON keeps it", path, v.Kind())
	}
}

func filled(t *testing.T) *payment.Payment {
	t.Helper()
	p := &payment.Payment{}
	fill(t, reflect.ValueOf(p).Elem(), "p")
	p.ID, p.Version = "pay_full", 1
	return p
}

// Guards I2, I8: nothing that a payment holds is lost on its way into the store and back.
func TestPaymentRoundTrip(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s, p := store.NewPayments(e), filled(t)
		if err := s.Insert(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), p.ID)
		if d := cmp.Diff(p, got); err != nil || d != "" {
			t.Fatalf("after insert: %v (-want +got):\n%s", err, d)
		}
		got.Version, got.Token = 2, "another"
		want := got.Clone()
		want.Facts = got.Facts
		if err := s.Replace(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		if got, err = s.Get(t.Context(), p.ID); err != nil || cmp.Diff(want, got) != "" {
			t.Fatalf("after replace: %v (-want +got):\n%s", err, cmp.Diff(want, got))
		}
	})
}

// Guards every payment ever stored: the stored form is pinned. A field that is renamed, retyped or dropped would make
// old money unreadable and fails here; such a change needs a new schema number and a reader of the old form. Only for
// an added field is the file written anew (UPDATE_GOLDEN=1).
func TestPaymentStoredForm(t *testing.T) {
	t.Parallel()
	const golden = "testdata/payment_v1.json"
	e, p := newMem(t), filled(t)
	if err := store.NewPayments(e).Insert(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	d, err := e.Get(t.Context(), "payments", p.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, d.Body, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the stored form changed (-golden +now):\n%s", diff)
	}
	var old bytes.Buffer
	if err := json.Compact(&old, want); err != nil {
		t.Fatal(err)
	}
	e = newMem(t)
	if err := e.Insert(named(t), "payments", store.Doc{ID: p.ID, Body: old.Bytes()}); err != nil {
		t.Fatal(err)
	}
	read, err := store.NewPayments(e).Get(t.Context(), p.ID)
	if diff := cmp.Diff(p, read); err != nil || diff != "" {
		t.Errorf("the golden form reads as something else: %v\n%s", err, diff)
	}
}

// Guards what was stored while a payment's document still spelled out every empty value: it reads as the same payment,
// and is written without them from then on. Most of a fresh payment is empty, and a document is written, checked and
// read many times.
func TestPaymentEmptyValues(t *testing.T) {
	t.Parallel()
	spelled, err := os.ReadFile("testdata/payment_v1_spelled_out.json")
	if err != nil {
		t.Fatal(err)
	}
	var record struct{ Payment payment.Payment }
	if err := json.Unmarshal(spelled, &record); err != nil {
		t.Fatal(err)
	}
	p := &record.Payment
	p.Version = 1
	e := newMem(t)
	if err := e.Insert(named(t), "payments", store.Doc{ID: p.ID, Body: spelled}); err != nil {
		t.Fatal(err)
	}
	s := store.NewPayments(e)
	read, err := s.Get(t.Context(), p.ID)
	if diff := cmp.Diff(p, read); err != nil || diff != "" {
		t.Fatalf("%v (-spelled out +read):\n%s", err, diff)
	}
	read.Version = 2
	if err := s.Replace(t.Context(), read); err != nil {
		t.Fatal(err)
	}
	d, err := e.Get(t.Context(), "payments", p.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, empty := range []string{`:""`, `:null`, `:0,`, `:0}`, `:false`, `:{}`, `0001-01-01`} {
		if bytes.Contains(d.Body, []byte(empty)) {
			t.Errorf("an empty value is stored: %s in %s", empty, d.Body)
		}
	}
	again, err := store.NewPayments(e).Get(t.Context(), p.ID) // a reader that remembers nothing
	if diff := cmp.Diff(read, again); err != nil || diff != "" {
		t.Errorf("%v (-written +read):\n%s", err, diff)
	}
}

// Guards I8: history that has left its payment comes back whole, in order, once, and only its own.
func TestPaymentHistory(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewPayments(e)
		var want []payment.HistoryEntry
		for i := range int64(7) {
			var h payment.HistoryEntry
			fill(t, reflect.ValueOf(&h).Elem(), fmt.Sprintf("h%d", i))
			h.Version = i*i + 1
			want = append(want, h)
		}
		ctx := t.Context()
		for _, spill := range []struct {
			id      string
			entries []payment.HistoryEntry
		}{{"pay_a", want[4:]}, {"pay_a", want[:5]}, {"pay_a", want}, {"pay_ab", want[:1]}, {"pay_a", nil}} {
			if err := s.SpillHistory(ctx, spill.id, spill.entries); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.History(ctx, "pay_a")
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
		if got, err = s.History(ctx, "pay_b"); err != nil || len(got) != 0 {
			t.Errorf("of a payment without history: %d entries, %v", len(got), err)
		}
	})
}

// Guards I8 for a long life: more spilled entries than one page of the engine holds.
func TestPaymentHistoryPages(t *testing.T) {
	t.Parallel()
	s := store.NewPayments(newMem(t))
	entries := make([]payment.HistoryEntry, store.MaxLimit+7)
	for i := range entries {
		entries[i].Version = int64(i + 1)
	}
	if err := s.SpillHistory(t.Context(), "pay_a", entries); err != nil {
		t.Fatal(err)
	}
	got, err := s.History(t.Context(), "pay_a")
	if err != nil || len(got) != len(entries) || got[len(got)-1].Version != int64(len(entries)) {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

// lossy loses every acknowledgement at one write point.
func lossy(e store.Engine, point store.WritePoint, when faults.When, lost *int) store.Engine {
	return faults.Wrap(e, faults.Options{Points: store.WritePoints(), Write: func(p store.WritePoint, w faults.When) error {
		if p == point && w == when {
			*lost++
			return errLost
		}
		return nil
	}})
}

// Guards I4, I5: a lost acknowledgement is read back, and what is there is success; a real outage stays one; somebody
// else's payment under the id is not ours.
func TestPaymentLostAcknowledgement(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		ctx, lost := t.Context(), 0
		s := store.NewPayments(lossy(e, store.PointPaymentInsert, faults.After, &lost))
		p := simple(t, s, 1, nil)
		other := p.Clone()
		other.Token = "somebody else's"
		if err := s.Insert(ctx, other); !errors.Is(err, gateway.ErrExists) {
			t.Errorf("insert over another's: %v", err)
		}
		s = store.NewPayments(lossy(e, store.PointPaymentReplace, faults.After, &lost))
		p.Version, p.SettledBy = 2, payment.LayerReturn
		if err := s.Replace(ctx, p); err != nil {
			t.Errorf("replace: %v", err)
		}
		other.Version = 2
		if err := s.Replace(ctx, other); !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("replace of a version that is taken: %v", err)
		}
		other.Version = 7
		if err := s.Replace(ctx, other); !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("replace of a version that is not there yet: %v", err)
		}
		other.ID, other.Version = "pay_nobody", 2
		if err := s.Replace(ctx, other); !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("replace of nothing: %v", err)
		}
		if got, err := s.Get(ctx, p.ID); err != nil || cmp.Diff(p, got) != "" {
			t.Errorf("stored: %v\n%s", err, cmp.Diff(p, got))
		}
		if lost < 2 {
			t.Errorf("%d acknowledgements were lost", lost)
		}
		lost = 0
		s = store.NewPayments(lossy(e, store.PointPaymentReplace, faults.Before, &lost))
		p.Version = 3
		if err := s.Replace(ctx, p); !errors.Is(err, gateway.ErrUnavailable) || lost > 4 {
			t.Errorf("outage: %v after %d tries", err, lost)
		}
		s = store.NewPayments(lossy(e, store.PointPaymentInsert, faults.Before, &lost))
		if err := s.Insert(ctx, other); !errors.Is(err, gateway.ErrUnavailable) {
			t.Errorf("outage: %v", err)
		}
	})
}

// overtaken lets another writer in right after its write happened and before the lost acknowledgement is read back.
type overtaken struct {
	store.Engine
	then func()
}

func (o *overtaken) Replace(ctx context.Context, coll string, d store.Doc, v int64) error {
	if err := o.Engine.Replace(ctx, coll, d, v); err != nil || o.then == nil {
		return err
	}
	then := o.then
	o.then = nil
	then()
	return errLost
}

// Guards I5: where the write that lost its acknowledgement can't be told from others any more, nobody is told that it
// succeeded: the caller reads again.
func TestPaymentOvertaken(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	plain := store.NewPayments(e)
	p := simple(t, plain, 1, nil)
	p.Version = 2
	next := p.Clone()
	next.Version = 3
	s := store.NewPayments(&overtaken{Engine: e, then: func() {
		if err := plain.Replace(t.Context(), next); err != nil {
			t.Error(err)
		}
	}})
	if err := s.Replace(t.Context(), p); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("overtaken: %v", err)
	}
}

// Guards against a poisoned record: what can't be read is an error for its reader, not a crash, whatever lies there.
func TestPaymentGarbage(t *testing.T) {
	t.Parallel()
	bodies := []string{
		`{}`, `{"schema":1}`, `{"schema":1,"payment":null}`, `{"schema":2,"payment":{"ID":"pay_x"}}`, `{"schema":1,"payment":{"ID":"pay_other"}}`,
		`{"schema":1,"payment":[]}`, `{"schema":1,"payment":{"ID":"pay_x","CreatedAt":"yesterday"}}`, `{"schema":"1","payment":{"ID":"pay_x"}}`,
		`{"schema":1,"payment":{"ID":"pay_x","Facts":{"Terms":{"Amount":{"Minor":10.5}}}}}`,
	}
	for _, body := range bodies {
		e := newMem(t)
		doc := store.Doc{ID: "pay_x", Body: []byte(body), Index: map[string]any{
			"tenant": "test/shop", "created": now, "refs": []string{"eu\x1fcs_1"}, "work_at": now,
		}}
		if err := e.Insert(named(t), "payments", doc); err != nil {
			t.Fatal(err)
		}
		s := store.NewPayments(e)
		if p, err := s.Get(t.Context(), "pay_x"); err == nil || p != nil {
			t.Errorf("%s: read as %+v", body, p)
		}
		if _, _, err := s.List(t.Context(), gateway.Filter{App: "shop", Mode: payment.ModeTest, Limit: 10}); err == nil {
			t.Errorf("%s: listed", body)
		}
		if _, err := s.ByRef(t.Context(), "eu", "cs_1"); err == nil {
			t.Errorf("%s: found", body)
		}
		if ids, err := s.WorkDue(t.Context(), now, 10); err != nil || len(ids) != 1 {
			t.Errorf("%s: queues must not read bodies: %v, %v", body, ids, err)
		}
	}
	e := newMem(t)
	if err := e.Insert(named(t), "payment_history", store.Doc{
		ID: "pay_x/1", Body: []byte(`{"entry":3}`), Index: map[string]any{"payment": "pay_x", "version": int64(1)},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.NewPayments(e).History(t.Context(), "pay_x"); err == nil {
		t.Error("garbage was read as history")
	}
}
