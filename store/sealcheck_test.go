package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
	"github.com/trifecta-pay/trifecta/store/seal"
)

// Guards ADR 8's "an id never names another key": a key that was made anew under an old id is refused before it seals
// anything, in a store that knows its keys and in one that an older program sealed. What is right starts, also beside
// damaged records, and so does a new id.
func TestKeyOfAnOldIDIsRefused(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	with := func(e store.Engine, active string, keys ...seal.Key) *store.SealedEngine {
		s, err := seal.New(active, keys...)
		if err != nil {
			t.Fatal(err)
		}
		out, err := store.Sealed(e, store.Collections(), s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	key := func(id string, secret byte) seal.Key {
		return seal.Key{ID: id, Secret: bytes.Repeat([]byte{secret}, seal.KeyBytes)}
	}
	for _, known := range []bool{true, false} {
		raw, err := mem.New(store.Collections())
		if err != nil {
			t.Fatal(err)
		}
		right := with(raw, "k1", key("k1", 1))
		if known {
			if err := right.CheckKeys(t.Context(), at); err != nil {
				t.Fatal(err)
			}
		}
		part := store.Doc{ID: "e/0", Body: []byte(`{"schema":1,"part":"QUJD"}`)}
		if err := right.Insert(t.Context(), "inbox_bodies", part); err != nil {
			t.Fatal(err)
		}
		part.ID = "damaged"
		if err := raw.Insert(t.Context(), "inbox_bodies", store.Doc{ID: part.ID, Body: []byte(`{"schema":1,"part":{"sealed":["v1","k1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]}}`)}); err != nil {
			t.Fatal(err)
		}
		for name, wrong := range map[string]*store.SealedEngine{
			"active": with(raw, "k1", key("k1", 2)),
			"former": with(raw, "k2", key("k2", 3), key("k1", 2)),
		} {
			err := wrong.CheckKeys(t.Context(), at)
			if refused := errors.Is(err, store.ErrWrongKey); refused != (known || name == "active") {
				t.Errorf("known %v, wrong as the %s key: %v", known, name, err)
			}
		}
		for name, good := range map[string]*store.SealedEngine{
			"the same key": right, "the same key again": right, "a new one": with(raw, "k3", key("k3", 4), key("k1", 1)),
		} {
			if err := good.CheckKeys(t.Context(), at); err != nil {
				t.Errorf("known %v, %s: %v", known, name, err)
			}
		}
	}
}

// Guards that a server starts behind a slow line, too: the look at what an older program sealed reads few large records
// at once.
func TestKeysAreCheckedOnFewLargeRecords(t *testing.T) {
	t.Parallel()
	e := &weighed{Engine: newMem(t)}
	right := sealed(t, e, "a", "a")
	for i := range 40 {
		body := []byte(`{"schema":1,"part":"` + strings.Repeat("QUJD", 50<<10) + `"}`)
		if err := right.Insert(t.Context(), "inbox_bodies", store.Doc{ID: fmt.Sprint("e/", i), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	if err := right.CheckKeys(t.Context(), now); err != nil || e.most == 0 || e.most > 4<<20 {
		t.Errorf("%d bytes at once, %v", e.most, err)
	}
}
