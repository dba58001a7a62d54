package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The write points of cursors.
const (
	PointCursorTake WritePoint = "cursor.take"
	PointCursorSet  WritePoint = "cursor.set"
)

const cursors = "cursors"

// CursorCollection declares the named cursors: few documents, found by id only.
func CursorCollection() Collection { return Collection{Name: cursors} }

// ErrFenced says that a holder with a greater fencing token has taken the cursor. Nothing was written; stop working.
var ErrFenced = errors.New("store: fenced off by a newer holder")

// Cursors remember how far a sweep got, durably, per name ("stripe/acct_1/balance_transactions"). Writes carry the
// fencing token of the lease under which the sweep runs; a cursor belongs to one lease, since tokens of different
// leases say nothing about each other.
type Cursors struct {
	engine Engine
}

// NewCursors keeps cursors in e, which must have CursorCollection.
func NewCursors(e Engine) *Cursors { return &Cursors{engine: e} }

// Cursor is the state of one named cursor.
type Cursor struct {
	Name  string
	Value string    // whatever the sweep wrote; "" when it never did
	Token int64     // greatest fencing token that took or set it
	At    time.Time // when Value was last set, UTC milliseconds; zero when it never was
}

type cursorRecord struct {
	Value string `json:"value"`
	Token int64  `json:"token"`
	AtMS  int64  `json:"at_ms,omitempty"` // Unix milliseconds
}

// Get returns the cursor; with an empty Value if it was never set. ErrUnavailable.
func (c *Cursors) Get(ctx context.Context, name string) (Cursor, error) {
	d, err := c.engine.Get(ctx, cursors, cursorID(name))
	if errors.Is(err, ErrNotFound) {
		return Cursor{Name: name}, nil
	}
	if err != nil {
		return Cursor{}, fmt.Errorf("cursor %s: %w", name, err)
	}
	r, err := decodeCursorRecord(d)
	return r.cursor(name), err
}

// Take is how a new holder begins: it reads the cursor and, in the same write, shuts out every smaller token, so that
// the former holder can't move it any more while this one works. ErrFenced if a newer holder is there, ErrInvalid,
// ErrUnavailable.
func (c *Cursors) Take(ctx context.Context, name string, token int64) (Cursor, error) {
	return c.change(WithPoint(ctx, PointCursorTake), name, token, func(r cursorRecord) cursorRecord { return r })
}

// Set moves the cursor to value, at now. It may move back: the holder knows. ErrFenced if a greater token took it,
// ErrInvalid, ErrUnavailable (unknown; setting again is harmless).
func (c *Cursors) Set(ctx context.Context, name, value string, token int64, now time.Time) error {
	_, err := c.change(WithPoint(ctx, PointCursorSet), name, token, func(r cursorRecord) cursorRecord {
		r.Value, r.AtMS = value, now.UnixMilli()
		return r
	})
	return err
}

func cursorID(name string) string { return "cursor/" + name }

func decodeCursorRecord(d Doc) (cursorRecord, error) {
	var r cursorRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return r, fmt.Errorf("decode %s: %w", d.ID, err)
	}
	return r, nil
}

func (r cursorRecord) cursor(name string) Cursor {
	out := Cursor{Name: name, Value: r.Value, Token: r.Token}
	if r.AtMS != 0 {
		out.At = time.UnixMilli(r.AtMS).UTC()
	}
	return out
}

// change applies fn under the token's protection, making the document on first use.
func (c *Cursors) change(ctx context.Context, name string, token int64, fn func(cursorRecord) cursorRecord) (Cursor, error) {
	if name == "" || token < 1 {
		return Cursor{}, fmt.Errorf("%w: cursor %q with token %d", ErrInvalid, name, token)
	}
	var r cursorRecord
	apply := func(d Doc) (Doc, error) {
		old, err := decodeCursorRecord(d)
		if err != nil {
			return d, err
		}
		if token < old.Token {
			return d, fmt.Errorf("%w: token %d, the newest is %d", ErrFenced, token, old.Token)
		}
		r = fn(old)
		r.Token = token
		if r == old {
			return d, ErrUnchanged
		}
		d.Body, err = json.Marshal(r)
		return d, err
	}
	_, err := Update(ctx, c.engine, cursors, cursorID(name), apply)
	if errors.Is(err, ErrNotFound) {
		if _, _, err = InsertOnce(ctx, c.engine, cursors, Doc{ID: cursorID(name), Body: []byte(`{"value":"","token":0}`)}); err == nil {
			_, err = Update(ctx, c.engine, cursors, cursorID(name), apply)
		}
	}
	if err != nil {
		return Cursor{}, fmt.Errorf("cursor %s: %w", name, err)
	}
	return r.cursor(name), nil
}
