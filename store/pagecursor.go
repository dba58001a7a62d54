package store

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// A page cursor is base64url of: 8 bytes of checksum over (query mark, rest), one byte for the sort value's type, the
// value's length and bytes, the id. The checksum finds damage and cursors of other queries; it is no signature.

const cursorSumBytes = 8

var cursorEncoding = base64.RawURLEncoding.Strict()

// mark identifies what a cursor may be used for: collection, index, order and equality values, but not range bounds.
func mark(coll string, q Query, fields []string, values [][]any) string {
	s := fmt.Sprintf("query %s %s %q %v", coll, q.Index, q.SortBy, q.Desc)
	for i, f := range fields {
		s += fmt.Sprintf(" %s", f)
		for _, v := range values[i] {
			s += fmt.Sprintf(",%T %q", v, fmt.Sprint(Sortable(v)))
		}
	}
	return s
}

func cursorSum(mark string, payload []byte) []byte {
	sum := sha256.Sum256(append(fmt.Appendf(nil, "v1 %d %s ", len(mark), mark), payload...))
	return sum[:cursorSumBytes]
}

func encodeCursor(mark string, value any, id string) string {
	kind, raw := byte('n'), []byte(nil)
	switch v := value.(type) {
	case string:
		kind, raw = 's', []byte(v)
	case int64:
		kind, raw = 'i', binary.BigEndian.AppendUint64(nil, uint64(v))
	case bool:
		kind, raw = 'b', []byte{0}
		if v {
			raw[0] = 1
		}
	case time.Time:
		kind, raw = 't', binary.BigEndian.AppendUint64(nil, uint64(v.UnixMilli()))
	}
	payload := append(binary.AppendUvarint([]byte{kind}, uint64(len(raw))), raw...)
	payload = append(payload, id...)
	return cursorEncoding.EncodeToString(append(cursorSum(mark, payload), payload...))
}

func decodeCursor(cursor, mark string) (value any, id string, err error) {
	if len(cursor) > maxCursorBytes {
		return nil, "", fmt.Errorf("%w: too long", ErrBadCursor)
	}
	data, err := cursorEncoding.DecodeString(cursor)
	if err != nil || len(data) < cursorSumBytes+2 {
		return nil, "", fmt.Errorf("%w: malformed", ErrBadCursor)
	}
	sum, payload := data[:cursorSumBytes], data[cursorSumBytes:]
	if subtle.ConstantTimeCompare(sum, cursorSum(mark, payload)) != 1 {
		return nil, "", fmt.Errorf("%w: damaged, or of another query", ErrBadCursor)
	}
	kind, rest := payload[0], payload[1:]
	n, used := binary.Uvarint(rest)
	if used <= 0 || n > uint64(len(rest)-used) {
		return nil, "", fmt.Errorf("%w: malformed", ErrBadCursor)
	}
	raw, id := rest[used:used+int(n)], string(rest[used+int(n):])
	if checkID(id) != nil {
		return nil, "", fmt.Errorf("%w: malformed", ErrBadCursor)
	}
	if value, err = cursorValue(kind, raw); err != nil {
		return nil, "", err
	}
	if encodeCursor(mark, value, id) != cursor { // base64 skips line breaks, varints have long forms
		return nil, "", fmt.Errorf("%w: not as it was given out", ErrBadCursor)
	}
	return value, id, nil
}

func cursorValue(kind byte, raw []byte) (any, error) {
	switch {
	case kind == 'n' && len(raw) == 0:
		return nil, nil
	case kind == 's':
		if v, err := checkScalar(string(raw)); err == nil {
			return v, nil
		}
	case kind == 'i' && len(raw) == 8:
		return int64(binary.BigEndian.Uint64(raw)), nil
	case kind == 'b' && len(raw) == 1:
		return raw[0] == 1, nil
	case kind == 't' && len(raw) == 8:
		return time.UnixMilli(int64(binary.BigEndian.Uint64(raw))).UTC(), nil
	}
	return nil, fmt.Errorf("%w: malformed", ErrBadCursor)
}
