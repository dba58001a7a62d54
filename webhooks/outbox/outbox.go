// Package outbox is us to the product app: a relay that moves events from the
// payments they happened to into one gapless feed per app, and the feed's reader.
//
// It must not change a payment beyond marking its events as fed, render an
// object anew (an event carries it as it was), or number two events alike.
//
// # How the feed stays gapless and free of duplicates
//
// A feed is a chain of pages, numbered from 1, each a document that only grows and
// is then closed for good. Events are appended by compare-and-swap of the last
// page and numbered in the same write; the next page exists only once the last one
// is closed. So there is one order, and no gap.
//
// Appending and marking are two writes to two documents. Between them an event
// stands in the feed and still in its payment, and a crash may leave it so for any
// time. Therefore the last page also says which events are not certainly marked
// yet (Page.Unmarked), written in the very append that put them there. A relay
// reads the last page first, finishes the marking that stands there, reads the
// payments after that, and appends against the version it read:
//
//   - what an earlier append fed and nobody marked is in Unmarked, so it is marked
//     before the payments are read, and not appended again;
//   - what is appended while the relay reads changes the page's version, so its
//     own append fails and it starts again;
//   - a relay that wrote the last page and marked all of it knows that page, and need not
//     read it again before it reads payments: should it have changed since, the append
//     against the version it knows fails (so a full page, which nobody appends to, is
//     read again: the page after it may have been written, filled and dropped);
//   - an entry leaves Unmarked only in an append against a version in which it
//     stood and after its marking succeeded, and marked events never come back;
//     one whose payment can't be marked now is carried along.
//
// All that needs reads that are not older than the marking. Right after a fail-over some
// stores give older ones, in which events still wait that were fed and marked. So what
// stands in the page that is appended to, or in the one before it, is not appended again,
// whatever its payment shows (it is marked once more), and after any error of the store
// every page is read again.
//
// Nothing depends on clocks, leases or how long a relay sleeps in between, and no
// marker per event has to be kept.
package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Event is one entry of a feed.
type Event struct {
	ID        string
	Type      string
	CreatedAt time.Time
	Sequence  int64 // 1, 2, 3 … per app and mode
	Payment   string
	Object    json.RawMessage // the payment, refund or dispute as it was at that moment
}

// wireEvent is the event as product apps see it, in the feed and in deliveries
// (/openapi.json).
type wireEvent struct {
	ID        string    `json:"id"`
	Object    string    `json:"object"`
	Type      string    `json:"type"`
	CreatedAt time.Time `json:"created_at"`
	Sequence  int64     `json:"sequence"`
	Data      wireData  `json:"data"`
}

type wireData struct {
	Object json.RawMessage `json:"object"`
}

// JSON renders the event for apps. The same event gives the same bytes for ever.
func (e Event) JSON() (json.RawMessage, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // an object stays as it was rendered
	err := enc.Encode(wireEvent{
		ID: e.ID, Object: "event", Type: e.Type, CreatedAt: e.CreatedAt.UTC(), Sequence: e.Sequence, Data: wireData{Object: e.Object},
	})
	return bytes.TrimRight(out.Bytes(), "\n"), err
}

// Unmarked names events of one payment that stand in the feed and perhaps still
// in the payment's outbox.
type Unmarked struct {
	Payment string
	Events  []string
}

// Page is one document of a feed.
type Page struct {
	App      string
	Mode     payment.Mode
	N        int64 // 1, 2, 3 …
	Version  int64 // for compare-and-swap; 0: not stored yet
	First    int64 // sequence of its first event
	Closed   bool  // it never changes again; the next page may follow
	Events   []Event
	Unmarked []Unmarked
}

// next is the sequence that follows the page.
func (p Page) next() int64 { return p.First + int64(len(p.Events)) }

// ErrTaken says that the page was changed or made by somebody else. Nothing was written.
var ErrTaken = errors.New("outbox: the page was changed by somebody else")

// Pages is the store of feeds. Any error but ErrTaken leaves unknown whether a
// write happened.
type Pages interface {
	// Last reads the page with the greatest number; ok is false for an empty feed.
	Last(ctx context.Context, app string, mode payment.Mode) (p Page, ok bool, err error)
	// First reads the page with the smallest number that is still kept; ok is false for
	// an empty feed.
	First(ctx context.Context, app string, mode payment.Mode) (p Page, ok bool, err error)
	// Page reads one page; ok is false where there is none.
	Page(ctx context.Context, app string, mode payment.Mode, n int64) (p Page, ok bool, err error)
	// InsertPage stores a new page; ErrTaken if it exists.
	InsertPage(ctx context.Context, p Page) error
	// ReplacePage stores a page over the version it was read in, else ErrTaken.
	ReplacePage(ctx context.Context, p Page) error
}

// Payments is where events come from.
type Payments interface {
	// Unfed reads payments with events in their outbox, oldest change first, at most
	// limit, and the cursor after them, empty at the end. Those that can't be read are
	// named in unreadable and hide no others.
	Unfed(ctx context.Context, limit int, after string) (found []*payment.Payment, unreadable []error, next string, err error)
	Get(ctx context.Context, id string) (*payment.Payment, error)
}

// Marker takes fed events out of their payments. It returns an error for each entry,
// nil where it is done: one that fails never stops the others. Repeating it is harmless.
type Marker interface {
	MarkFed(ctx context.Context, fed []payment.Fed) []error
}
