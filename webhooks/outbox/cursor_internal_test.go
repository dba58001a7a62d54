package outbox

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// FuzzCursor: no cursor makes the decoder panic; what it reads, it would write in just that
// spelling, for that feed and no other; all else is malformed, with the field named (E11).
// The digest would stop the fuzzer at the door, so it is made right for what it invents.
func FuzzCursor(f *testing.F) {
	for _, p := range []position{{1, 0}, {1, 100}, {1 << 62, 7}, {9_223_372_036_854_775_807, 9_223_372_036_854_775_807}} {
		f.Add(p.cursor("shop", payment.ModeTest), "1:0")
		f.Add(p.cursor("shop", payment.ModeLive), "")
		f.Add(p.cursor("other", payment.ModeTest), "1")
	}
	for _, place := range []string{
		"0:0", "-1:0", "1:-1", "+1:0", "01:0", "1:00", "1:0 ", " 1:0", "1:0\n", "1:0:0", ":", "1:", ":1", "0x1:0", "1_0:0", "1e3:0", "\u0661:0", "9223372036854775808:0", "1:9223372036854775808", "1\x00:0",
	} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(place)), place)
	}
	f.Fuzz(func(t *testing.T, text, place string) {
		for _, cursor := range []string{text, cursorText.EncodeToString([]byte(feedMark("shop", payment.ModeTest, place) + place))} {
			p, err := decodeCursor("shop", payment.ModeTest, cursor)
			switch {
			case cursor == "":
				if err != nil || p != (position{page: 1}) {
					t.Fatalf("no cursor: %+v, %v", p, err)
				}
				continue
			case err != nil:
				wantMalformed(t, cursor, p, err)
				continue
			case p.page < 1 || p.index < 0:
				t.Fatalf("%q is read as %+v", cursor, p)
			}
			if again := p.cursor("shop", payment.ModeTest); again != cursor {
				t.Fatalf("%q is another spelling of %q", cursor, again)
			}
			if q, err := decodeCursor("shop", payment.ModeLive, cursor); err == nil {
				t.Fatalf("%q opens the live feed too, at %+v", cursor, q)
			}
			if q, err := decodeCursor("sho", payment.ModeTest, cursor); err == nil {
				t.Fatalf("%q opens another app's feed too, at %+v", cursor, q)
			}
		}
	})
}

func wantMalformed(t *testing.T, cursor string, p position, err error) {
	t.Helper()
	if e, ok := errors.AsType[*payment.Error](err); !ok || payment.CodeOf(err) != payment.CodeMalformed || len(e.Fields) != 1 || e.Fields[0].Pointer != "?after" || p != (position{}) {
		t.Fatalf("%q: %+v, %v", cursor, p, err)
	}
}
