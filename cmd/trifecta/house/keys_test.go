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

// Promise: whoever opens the records, a server or a tool, is refused with a key that was made anew under an old id,
// before anything is written under it.
func TestBuildChecksTheKeys(t *testing.T) {
	t.Parallel()
	e, c := shared(t), &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	with := func(secret byte) Options {
		o := options(e, c)
		text := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{secret}, sealing.KeyBytes))
		o.Config.Encryption = config.Encryption{Active: "k", Keys: []config.EncryptionKey{{ID: "k", Key: config.NewSecret(text)}}}
		return o
	}
	for n, secret := range []byte{1, 1, 2, 1} {
		h, err := Build(t.Context(), with(secret))
		if secret == 2 {
			if !errors.Is(err, store.ErrWrongKey) {
				t.Errorf("another key: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("start %d: %v", n, err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}
