package house

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store"
	sealing "github.com/trifecta-pay/trifecta/store/seal"
)

// Promise: a server whose configuration lost the key that its records are sealed under does not start, and starts when
// the key is back or is named as lost.
func TestBuildMissesAKey(t *testing.T) {
	t.Parallel()
	e, c := shared(t), &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	start := func(active string, lost ...string) error {
		o := options(e, c)
		if active != "" {
			text := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(active), sealing.KeyBytes))
			o.Config.Encryption.Keys = []config.EncryptionKey{{ID: active, Key: config.NewSecret(text)}}
		}
		o.Config.Encryption.Active, o.Config.Encryption.Lost = active, lost
		h, err := Build(t.Context(), o)
		if err != nil {
			return err
		}
		part := store.Doc{ID: "e/" + active, Body: []byte(`{"schema":1,"part":"QUJD"}`)}
		if _, _, err := store.InsertOnce(store.WithPoint(t.Context(), "test"), h.engine, "inbox_bodies", part); err != nil {
			t.Error(err)
		}
		return h.Close()
	}
	if err := start("a"); err != nil {
		t.Fatal(err)
	}
	for _, active := range []string{"b", ""} {
		if err := start(active); !errors.Is(err, store.ErrMissingKey) {
			t.Errorf("with %q in place of a: %v", active, err)
		}
	}
	if err := start("a"); err != nil {
		t.Errorf("with the key put back: %v", err)
	}
	if err := start("b", "a"); err != nil {
		t.Errorf("with the key named as lost: %v", err)
	}
}
