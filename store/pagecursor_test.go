package store

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// Guards: a position survives its way through the customer's hands exactly.
func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	for _, value := range []any{nil, "", "a\x00b", int64(0), int64(-1 << 63), int64(1<<63 - 1), true, false, time.UnixMilli(-1).UTC()} {
		cursor := encodeCursor("mark", value, "pay_1")
		got, id, err := decodeCursor(cursor, "mark")
		if err != nil || got != value || id != "pay_1" {
			t.Errorf("%v: got %v, %q, %v", value, got, id, err)
		}
		if _, _, err := decodeCursor(cursor, "mark2"); !errors.Is(err, ErrBadCursor) {
			t.Errorf("%v: accepted by another query: %v", value, err)
		}
	}
}

// Guards E11: a cursor in which one bit was changed, be it of the position, is refused, so that nobody pages from a place
// that they were not given.
func TestTamperedCursor(t *testing.T) {
	t.Parallel()
	raw, err := cursorEncoding.DecodeString(encodeCursor("mark", int64(7), "pay_1"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			if value, id, err := decodeCursor(cursorEncoding.EncodeToString(changed), "mark"); !errors.Is(err, ErrBadCursor) {
				t.Errorf("byte %d, bit %d: (%v, %q), %v", i, bit, value, id, err)
			}
		}
	}
}

// Guards: no cursor makes the decoder panic, and each position has one spelling only. The checksum would stop the fuzzer
// at the door, so it is made right for what the fuzzer invents.
func FuzzCursor(f *testing.F) {
	f.Add("", []byte("n\x00x"))
	f.Add("s", []byte("s\x01ax"))
	f.Add("AAAAAAAAAAAA", []byte("i\x08\x00\x00\x00\x00\x00\x00\x00\x01id"))
	f.Add("t", []byte("t\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, cursor string, payload []byte) {
		if _, _, err := decodeCursor(cursor, "m"); err != nil && !errors.Is(err, ErrBadCursor) {
			t.Errorf("%q: %v", cursor, err)
		}
		cursor = cursorEncoding.EncodeToString(append(cursorSum("m", payload), payload...))
		value, id, err := decodeCursor(cursor, "m")
		if err != nil {
			if !errors.Is(err, ErrBadCursor) {
				t.Errorf("%q: %v", payload, err)
			}
			return
		}
		if again := encodeCursor("m", value, id); again != cursor {
			t.Errorf("%q is another spelling of (%v, %q)", payload, value, id)
		}
	})
}
