package seal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/trifecta-pay/trifecta/store/seal"
)

func key(id string, fill byte) seal.Key {
	return seal.Key{ID: id, Secret: bytes.Repeat([]byte{fill}, seal.KeyBytes)}
}

func sealer(t testing.TB, active string, keys ...seal.Key) *seal.Sealer {
	t.Helper()
	s, err := seal.New(active, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var here = seal.Place{Collection: "payments", Document: "pay_1", Field: "customer.email"}

// Promise: what is sealed opens again, at its own place and under its own key only,
// and any changed byte is noticed.
func TestSealedValuesOpenWhereTheyStand(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, err := seal.New("k2", key("k1", 1), key("k2", 2))
		if err != nil {
			t.Fatal(err)
		}
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		text, err := s.Seal(here, plain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Open(here, text)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened %q, %v", got, err)
		}
		again, err := s.Seal(here, plain)
		if err != nil || again != text {
			t.Fatalf("sealing is not deterministic: %q, then %q", text, again)
		}
		at := rapid.IntRange(len("k2."), len(text)-1).Draw(t, "at")
		changed := []byte(text)
		if changed[at] == 'A' {
			changed[at] = 'B'
		} else {
			changed[at] = 'A'
		}
		if got, err := s.Open(here, string(changed)); err == nil {
			t.Fatalf("a changed value opens as %q", got)
		}
	})
}

// Promise (K4): a value swapped in from another document or field, a wrong key and an
// unknown key are errors, each with its reason.
func TestMovedAndForeignValuesAreRefused(t *testing.T) {
	t.Parallel()
	s := sealer(t, "k1", key("k1", 1))
	text, err := s.Seal(here, []byte("ann@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]seal.Place{
		"another document":   {Collection: "payments", Document: "pay_2", Field: "customer.email"},
		"another field":      {Collection: "payments", Document: "pay_1", Field: "customer.name"},
		"another collection": {Collection: "feed", Document: "pay_1", Field: "customer.email"},
		"a shifted border":   {Collection: "paymentsp", Document: "ay_1", Field: "customer.email"},
	} {
		if _, err := s.Open(at, text); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
	if _, err := sealer(t, "k1", key("k1", 9)).Open(here, text); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("another key of the same id: %v, want ErrDamaged", err)
	}
	_, err = sealer(t, "k2", key("k2", 2)).Open(here, text)
	if !errors.Is(err, seal.ErrUnknownKey) || !strings.Contains(err.Error(), "k1") {
		t.Errorf("a key that is gone: %v, want ErrUnknownKey naming k1", err)
	}
	if _, err = sealer(t, "").Open(here, text); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("no keys: %v, want ErrUnknownKey", err)
	}
	for _, bad := range []string{"", "k1", "k1.", "k1.AAAA", "k1." + strings.Repeat("A", 40), ".AAAA", "K1.AAAA", text + "=", text + "\n"} {
		if _, err := s.Open(here, bad); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%q: %v, want ErrDamaged", bad, err)
		}
	}
}

// Promise: a value sealed under the key before the rotation still opens, and new ones
// are under the new key.
func TestRotationKeepsOldValuesReadable(t *testing.T) {
	t.Parallel()
	old := sealer(t, "a", key("a", 1))
	text, err := old.Seal(here, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	both := sealer(t, "b", key("a", 1), key("b", 2))
	if got, err := both.Open(here, text); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
	fresh, err := both.Seal(here, []byte("x"))
	if err != nil || seal.KeyID(fresh) != "b" || fresh == text {
		t.Errorf("%q, %v", fresh, err)
	}
}

// Promise: equal values in different places don't look alike, so that sealed fields
// can't be matched against each other.
func TestEqualValuesLookUnrelatedElsewhere(t *testing.T) {
	t.Parallel()
	s := sealer(t, "k1", key("k1", 1))
	a, err := s.Seal(here, []byte("ann@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Seal(seal.Place{Collection: "payments", Document: "pay_2", Field: "customer.email"}, []byte("ann@example.com"))
	if err != nil || a == b || a[:len("k1.")+16] == b[:len("k1.")+16] {
		t.Errorf("%q and %q, %v", a, b, err)
	}
}

// Promise: doubtful keys are refused before anything is sealed, and no error shows a key.
func TestKeysAreChecked(t *testing.T) {
	t.Parallel()
	short := seal.Key{ID: "k1", Secret: []byte("short-secret")}
	for name, make := range map[string]func() (*seal.Sealer, error){
		"short key":       func() (*seal.Sealer, error) { return seal.New("k1", short) },
		"bad id":          func() (*seal.Sealer, error) { return seal.New("K 1", key("K 1", 1)) },
		"double id":       func() (*seal.Sealer, error) { return seal.New("k1", key("k1", 1), key("k1", 2)) },
		"unknown active":  func() (*seal.Sealer, error) { return seal.New("k2", key("k1", 1)) },
		"no active":       func() (*seal.Sealer, error) { return seal.New("", key("k1", 1)) },
		"active, no keys": func() (*seal.Sealer, error) { return seal.New("k1") },
	} {
		if _, err := make(); err == nil || strings.Contains(err.Error(), "short-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sealer(t, "").Seal(here, nil); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("sealing without keys: %v", err)
	}
}

func BenchmarkSeal(b *testing.B) {
	s := sealer(b, "k1", key("k1", 1))
	plain := bytes.Repeat([]byte("x"), 1024)
	for b.Loop() {
		if _, err := s.Seal(here, plain); err != nil {
			b.Fatal(err)
		}
	}
}
