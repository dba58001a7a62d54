package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// MaxRead is the most events of one Read.
const MaxRead = 100

// Reader reads feeds. It writes nothing new: see renew.
type Reader struct{ pages Pages }

// NewReader reads the feeds in pages.
func NewReader(pages Pages) *Reader { return &Reader{pages: pages} }

// Read returns up to limit (1..100) events after a cursor, oldest first; an empty
// cursor is the beginning of what is kept. next is always a cursor to resume from, also at the
// end: pages only grow, so no cursor ever skips or repeats an event, whatever is
// fed meanwhile. Errors are *payment.Error: malformed for a cursor that this feed
// did not give out, for one whose events are no longer kept (going on with the
// first kept page would lose events without a word), and for one ahead of the feed, as
// after a backup was restored; store_unavailable.
func (r *Reader) Read(ctx context.Context, app string, mode payment.Mode, after string, limit int) (events []Event, next string, err error) {
	at, err := decodeCursor(app, mode, after)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), MaxRead)
	events, next, err = r.read(ctx, app, mode, at, after, limit)
	if !errors.Is(err, errAhead) {
		return events, next, err
	}
	if err := r.renew(ctx, app, mode); err != nil {
		return nil, "", unavailable(err)
	}
	events, next, err = r.read(ctx, app, mode, at, after, limit)
	if errors.Is(err, errAhead) {
		return nil, "", aheadCursor()
	}
	return events, next, err
}

// errAhead says that the feed, as it was read, has never been where the cursor is.
var errAhead = errors.New("outbox: the cursor is ahead of the feed")

// renewTries bounds how often a page is written over that others append to, or that is
// not yet read as it is.
const renewTries = 3

// renew makes sure that what is read next is no older than now, before a cursor is refused
// for good: for some seconds after a fail-over a store may answer reads from before, in
// which the end of the feed is missing, and an app that is told of a restored backup would
// begin anew. The last page is written over as it is, which only succeeds against its
// newest version, at the member that is primary; after that, reads there are new. Nothing
// about the feed changes but the page's version, which relays notice. A feed without any
// page is believed: there is nothing to write over, and an app loses nothing by reading it
// from the beginning.
func (r *Reader) renew(ctx context.Context, app string, mode payment.Mode) error {
	for range renewTries {
		last, found, err := r.pages.Last(ctx, app, mode)
		if err != nil || !found {
			return err
		}
		if err := r.pages.ReplacePage(ctx, last); !errors.Is(err, ErrTaken) {
			return err
		}
	}
	return ErrTaken
}

func (r *Reader) read(ctx context.Context, app string, mode payment.Mode, at position, after string, limit int) (events []Event, next string, err error) {
	for len(events) < limit {
		page, found, err := r.pages.Page(ctx, app, mode, at.page)
		if err != nil {
			return nil, "", unavailable(err)
		}
		if !found {
			first, kept, err := r.pages.First(ctx, app, mode)
			switch {
			case err != nil:
				return nil, "", unavailable(err)
			case !kept || first.N <= at.page: // there was no such page yet
				if err := r.ahead(ctx, app, mode, at); err != nil {
					return nil, "", err
				}
			case len(events) > 0: // dropped while we read: the next read says so
				return events, at.cursor(app, mode), nil
			case after != "":
				return nil, "", expiredCursor()
			default:
				page, at.page = first, first.N
			}
		}
		size := int64(len(page.Events))
		if at.index > size {
			return nil, "", errAhead
		}
		take := min(size-at.index, int64(limit-len(events)))
		events = append(events, page.Events[at.index:at.index+take]...)
		at.index += take
		if !page.Closed || at.index < size {
			break
		}
		at = position{page: at.page + 1}
	}
	return events, at.cursor(app, mode), nil
}

// ahead refuses a cursor that is not where the next page begins: the feed never was there, as far as its record goes. It
// is a restored backup; waiting at that place would skip, without a word, what is fed until it is reached again.
func (r *Reader) ahead(ctx context.Context, app string, mode payment.Mode, at position) error {
	if at == (position{page: 1}) {
		return nil
	}
	last, _, err := r.pages.Last(ctx, app, mode)
	if err != nil {
		return unavailable(err)
	}
	if at.page > last.N+1 || at.page == last.N+1 && (at.index > 0 || !last.Closed) {
		return errAhead
	}
	return nil
}

// ReadJSON is Read with events as product apps see them.
func (r *Reader) ReadJSON(ctx context.Context, app string, mode payment.Mode, after string, limit int) ([]json.RawMessage, string, error) {
	events, next, err := r.Read(ctx, app, mode, after, limit)
	if err != nil {
		return nil, "", err
	}
	out := make([]json.RawMessage, 0, len(events))
	for _, e := range events {
		text, err := e.JSON()
		if err != nil {
			return nil, "", fmt.Errorf("outbox: render event %s: %w", e.ID, err)
		}
		out = append(out, text)
	}
	return out, next, nil
}

// position is a place in a feed: before event index of a page.
type position struct{ page, index int64 }

const cursorMark = 6 // bytes of the digest that ties a cursor to its feed

var cursorText = base64.RawURLEncoding.Strict()

// cursor makes the opaque form: which feed, page, index.
func (p position) cursor(app string, mode payment.Mode) string {
	place := fmt.Sprintf("%d:%d", p.page, p.index)
	return cursorText.EncodeToString([]byte(feedMark(app, mode, place) + place))
}

// feedMark finds damage and cursors of other feeds. It is no permission: whose
// feed is read never comes from the cursor.
func feedMark(app string, mode payment.Mode, place string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "feed v1 %s %d:%s %s", mode, len(app), app, place))
	return string(sum[:cursorMark])
}

func decodeCursor(app string, mode payment.Mode, text string) (position, error) {
	if text == "" {
		return position{page: 1}, nil
	}
	raw, err := cursorText.DecodeString(text)
	if err != nil || len(raw) <= cursorMark {
		return position{}, badCursor()
	}
	page, index, _ := strings.Cut(string(raw[cursorMark:]), ":")
	var p position
	var errPage, errIndex error
	p.page, errPage = strconv.ParseInt(page, 10, 64)
	p.index, errIndex = strconv.ParseInt(index, 10, 64)
	if errPage != nil || errIndex != nil || p.page < 1 || p.index < 0 || p.cursor(app, mode) != text {
		return position{}, badCursor()
	}
	return p, nil
}

func badCursor() error {
	e := payment.NewError(payment.CodeMalformed, "The cursor is not one we gave out for this list.")
	e.Fields = []payment.FieldError{{Pointer: "?after", Rule: "must be the value of next in an earlier answer"}}
	return e
}

func aheadCursor() error {
	e := payment.NewError(payment.CodeMalformed,
		"This cursor is ahead of the feed, which was restored from a backup. Bring your records up to date from GET /v1/payments, then read the feed without after.")
	e.Fields = []payment.FieldError{{Pointer: "?after", Rule: "is ahead of the feed; events may have taken its place"}}
	return e
}

func expiredCursor() error {
	e := payment.NewError(payment.CodeMalformed,
		"The events after this cursor are no longer kept. Bring your records up to date from GET /v1/payments, then read the feed without after.")
	e.Fields = []payment.FieldError{{Pointer: "?after", Rule: "is older than what is kept of the feed; events in between are gone"}}
	return e
}

func unavailable(err error) error {
	var known *payment.Error
	if errors.As(err, &known) {
		return err
	}
	e := payment.NewError(payment.CodeStoreUnavailable, "The events could not be read now.")
	e.Cause = err
	return e
}
