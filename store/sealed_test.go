package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
	"github.com/trifecta-pay/trifecta/store/mem"
	"github.com/trifecta-pay/trifecta/store/seal"
)

func sealer(t testing.TB, active string, ids ...string) *seal.Sealer {
	t.Helper()
	var keys []seal.Key
	for _, id := range ids {
		keys = append(keys, seal.Key{ID: id, Secret: bytes.Repeat([]byte(id[:1]), seal.KeyBytes)})
	}
	s, err := seal.New(active, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sealed(t testing.TB, e store.Engine, active string, ids ...string) *store.SealedEngine {
	t.Helper()
	out, err := store.Sealed(e, store.Collections(), sealer(t, active, ids...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Guards: an engine that seals means the same as one that doesn't: versions, cursors, bytes of every body.
func TestSealedConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t *testing.T, colls []store.Collection) store.Engine {
		e, err := mem.New(colls)
		if err != nil {
			t.Fatal(err)
		}
		with := make([]store.Collection, 0, len(colls))
		for _, c := range colls {
			c.Sealed = []string{"id", "text", "other", "v", "big"}
			with = append(with, c)
		}
		s, err := store.Sealed(e, with, sealer(t, "k1", "k1"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// Guards "recognised by its bytes": whatever stands in a body, sealing and opening it gives back the very same bytes,
// and no plain value stays where one is declared.
func TestSealingKeepsEveryByte(t *testing.T) {
	t.Parallel()
	const canary = "canary@example.com"
	colls := []store.Collection{{Name: "c", Sealed: []string{"p.a", "p.list[].x", "p.list[].y.z", "q"}}}
	rapid.Check(t, func(t *rapid.T) {
		raw, err := mem.New(colls)
		if err != nil {
			t.Fatal(err)
		}
		s, err := seal.New("k1", seal.Key{ID: "k1", Secret: bytes.Repeat([]byte{1}, 32)})
		if err != nil {
			t.Fatal(err)
		}
		e, err := store.Sealed(raw, colls, s)
		if err != nil {
			t.Fatal(err)
		}
		value := rapid.SampledFrom([]string{`"` + canary + `"`, `{"m":"` + canary + `","n":[1,{"o":"\"}]"}]}`, `["` + canary + `"]`, `null`, `""`, `-1.5e3`, `true`, `"\\"`})
		space := rapid.SampledFrom([]string{"", " ", "\n\t"})
		w := func() string { return space.Draw(t, "space") }
		v := func() string { return value.Draw(t, "value") }
		var list []string
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			list = append(list, w()+`{"x":`+w()+v()+w()+`,"y":{"z":`+v()+`,"w":[[]]},"n":7}`)
		}
		body := `{` + w() + `"p":` + w() + `{"b":"}{][,\"","a":` + v() + `,"list":[` + strings.Join(list, ",") + w() + `]}` + w() + `,"q":` + v() + w() + `}`
		ctx := store.WithPoint(t.Context(), store.PointReseal)
		if err := e.Insert(ctx, "c", store.Doc{ID: "d", Body: []byte(body)}); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		got, err := e.Get(ctx, "c", "d")
		if err != nil || string(got.Body) != body {
			t.Fatalf("came back as\n%s, %v, went in as\n%s", got.Body, err, body)
		}
		kept, err := raw.Get(ctx, "c", "d")
		if err != nil || bytes.Contains(kept.Body, []byte(canary)) || !json.Valid(kept.Body) {
			t.Fatalf("kept as %s, %v", kept.Body, err)
		}
	})
}

// Guards K4 at the store: a value swapped in from another payment is refused, and one record that can't be opened hides
// no other.
func TestSwappedValuesAreRefused(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	s := store.NewPayments(sealed(t, raw, "k1", "k1"))
	for i := range 2 {
		simple(t, s, i+1, func(p *payment.Payment) { p.Request.Customer.Email = fmt.Sprintf("c%d@example.com", i) })
	}
	docs, _, err := raw.Scan(t.Context(), "payments", "", 0)
	if err != nil || len(docs) != 2 {
		t.Fatalf("%d, %v", len(docs), err)
	}
	mail := func(d store.Doc) string {
		var r struct {
			Payment struct {
				Request struct {
					Customer struct{ Email json.RawMessage }
				}
			}
		}
		if err := json.Unmarshal(d.Body, &r); err != nil {
			t.Fatal(err)
		}
		return string(r.Payment.Request.Customer.Email)
	}
	swapped := docs[0].Clone()
	swapped.Body = []byte(strings.Replace(string(swapped.Body), mail(docs[0]), mail(docs[1]), 1))
	if err := raw.Replace(named(t), "payments", swapped, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), docs[0].ID); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("the swapped one: %v, want seal.ErrDamaged", err)
	}
	if p, err := s.Get(t.Context(), docs[1].ID); err != nil || p.Request.Customer.Email == "" {
		t.Errorf("the other: %v", err)
	}
	_, _, err = s.List(t.Context(), gateway.Filter{App: "shop", Mode: payment.ModeTest, Limit: 10})
	if err == nil || !strings.Contains(err.Error(), "payment.Request.Customer.Email") {
		t.Errorf("listing says %v", err)
	}
}

// Guards every payment stored before there were keys, and ADR 0007: the golden record reads through a sealing engine as
// it does without, is sealed by its next write, and without its key is refused with that key's name.
func TestPlainRecordsAreReadAndSealedByTheNextWrite(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("testdata/payment_v1.json")
	if err != nil {
		t.Fatal(err)
	}
	raw, p := newMem(t), filled(t)
	if err := raw.Insert(named(t), "payments", store.Doc{ID: p.ID, Body: golden}); err != nil {
		t.Fatal(err)
	}
	s := store.NewPayments(sealed(t, raw, "k1", "k1"))
	got, err := s.Get(t.Context(), p.ID)
	if diff := cmp.Diff(p, got); err != nil || diff != "" {
		t.Fatalf("plain: %v\n%s", err, diff)
	}
	got.Version = 2
	if err := s.Replace(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	kept, err := raw.Get(t.Context(), "payments", p.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, personal := range []string{
		"p.Request.Customer.Email", "p.Request.Customer.Name", "p.Request.Metadata", "p.Token", "PayerEmail\":\"p", "p.Request.ReturnURL", "p.Request.CancelURL",
		"p.Request.Description", "p.Facts.Attempts.0.URL",
	} {
		if bytes.Contains(kept.Body, []byte(personal)) {
			t.Errorf("%s is kept plain", personal)
		}
	}
	again, err := s.Get(t.Context(), p.ID)
	if diff := cmp.Diff(got, again); err != nil || diff != "" {
		t.Errorf("sealed: %v\n%s", err, diff)
	}
	if _, err := store.NewPayments(sealed(t, raw, "")).Get(t.Context(), p.ID); !errors.Is(err, seal.ErrUnknownKey) || !strings.Contains(err.Error(), "k1") {
		t.Errorf("without keys: %v, want ErrUnknownKey naming k1", err)
	}
}

// Guards rotation: records stored plain and under the old key are brought under the active one in bounded steps that
// may stop anywhere; afterwards the old key can be dropped, and every payment still reads.
func TestResealBringsEverythingUnderTheActiveKey(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	plain, old := store.NewPayments(raw), store.NewPayments(sealed(t, raw, "a", "a"))
	for i := range 7 {
		s := plain
		if i%2 == 0 {
			s = old
		}
		simple(t, s, i+1, func(p *payment.Payment) { p.Request.Customer.Email = fmt.Sprintf("c%d@example.com", i) })
	}
	both := sealed(t, raw, "b", "b", "a")
	count := func() map[string]int {
		t.Helper()
		seen, _, err := both.Reseal(t.Context(), "payments", "", 100, false)
		if err != nil || seen.Failed > 0 || seen.Written > 0 {
			t.Fatalf("%+v, %v", seen, err)
		}
		return seen.Keys
	}
	if diff := cmp.Diff(map[string]int{"": 3, "a": 4}, count()); diff != "" {
		t.Errorf("before:\n%s", diff)
	}
	steps := 0
	for after, done := "", false; !done; steps++ {
		did, next, err := sealed(t, raw, "b", "b", "a").Reseal(t.Context(), "payments", after, 2, true) // a new process each time
		if err != nil || did.Failed > 0 || did.Seen > 2 {
			t.Fatalf("%+v, %v", did, err)
		}
		after, done = next, next == ""
	}
	if diff := cmp.Diff(map[string]int{"b": 7}, count()); diff != "" || steps != 4 {
		t.Errorf("after %d steps:\n%s", steps, diff)
	}
	for i := range 7 {
		id := fmt.Sprintf("pay_%03d", i+1)
		p, err := store.NewPayments(sealed(t, raw, "b", "b")).Get(t.Context(), id)
		if err != nil || p.Request.Customer.Email != fmt.Sprintf("c%d@example.com", i) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// Guards that a declaration can't silently seal nothing.
func TestPlacesAreChecked(t *testing.T) {
	t.Parallel()
	for _, paths := range [][]string{{""}, {"a..b"}, {"a", "a"}, {"a", "a.b"}, {"a.b", "a"}, {"a[]", "a[].b"}, {"a[0]"}, {`a"b`}} {
		err := store.CheckCollections([]store.Collection{{Name: "c", Sealed: paths}})
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", paths, err)
		}
	}
	if err := store.CheckCollections(store.Collections()); err != nil {
		t.Error(err)
	}
}
