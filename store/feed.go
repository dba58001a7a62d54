package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// Write points of the feed.
const (
	PointFeedInsert  WritePoint = "feed.insert"
	PointFeedReplace WritePoint = "feed.replace"
)

const feedName = "feed"

// FeedCollection declares the pages of the apps' event feeds.
func FeedCollection() Collection {
	return Collection{Name: feedName, Indexes: []Index{
		{Name: "by_page", Fields: []string{"tenant", "page"}},
		{Name: "by_end", Fields: []string{"ended"}},
	}, Sealed: []string{"page.Events[].Object"}}
}

// Feed keeps feed pages over an Engine. It implements outbox.Pages.
type Feed struct{ e Engine }

var (
	_ outbox.Pages    = (*Feed)(nil)
	_ outbox.Payments = (*Payments)(nil)
)

// NewFeed keeps feed pages in an engine.
func NewFeed(e Engine) *Feed { return &Feed{e: e} }

type feedRecord struct {
	Schema int         `json:"schema"`
	Page   outbox.Page `json:"page"`
}

func feedID(app string, mode payment.Mode, n int64) string {
	return fmt.Sprintf("feed/%s/%d", tenant(app, mode), n)
}

func feedDoc(p outbox.Page) (Doc, error) {
	version := p.Version
	p.Version = 0 // the document's own
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // objects keep their size and spelling
	if err := enc.Encode(feedRecord{Schema: 1, Page: p}); err != nil {
		return Doc{}, fmt.Errorf("store: encode feed page %d of %s: %w", p.N, p.App, err)
	}
	index := map[string]any{"tenant": tenant(p.App, p.Mode), "page": p.N}
	if p.Closed {
		var ended time.Time // of its last event; they need not be in order of time
		for _, e := range p.Events {
			if e.CreatedAt.After(ended) {
				ended = e.CreatedAt
			}
		}
		index["ended"] = ended
	}
	return Doc{ID: feedID(p.App, p.Mode, p.N), Version: version, Body: body.Bytes(), Index: index}, nil
}

func feedOf(d Doc) (outbox.Page, error) {
	var r feedRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return outbox.Page{}, fmt.Errorf("store: feed page %s can't be read: %w", d.ID, err)
	}
	if r.Schema != 1 || feedID(r.Page.App, r.Page.Mode, r.Page.N) != d.ID {
		return outbox.Page{}, unreadable("feed page", d, r.Schema)
	}
	r.Page.Version = d.Version
	return r.Page, nil
}

// Last implements outbox.Pages.
func (s *Feed) Last(ctx context.Context, app string, mode payment.Mode) (outbox.Page, bool, error) {
	return s.outermost(ctx, app, mode, true)
}

// First implements outbox.Pages.
func (s *Feed) First(ctx context.Context, app string, mode payment.Mode) (outbox.Page, bool, error) {
	return s.outermost(ctx, app, mode, false)
}

func (s *Feed) outermost(ctx context.Context, app string, mode payment.Mode, last bool) (outbox.Page, bool, error) {
	docs, _, err := s.e.Query(ctx, feedName, Query{
		Index: "by_page", Where: []Filter{Where("tenant", Eq, tenant(app, mode))}, SortBy: "page", Desc: last, Limit: 1,
	})
	if err != nil || len(docs) == 0 {
		return outbox.Page{}, false, err
	}
	p, err := feedOf(docs[0])
	return p, err == nil, err
}

// Page implements outbox.Pages.
func (s *Feed) Page(ctx context.Context, app string, mode payment.Mode, n int64) (outbox.Page, bool, error) {
	d, err := s.e.Get(ctx, feedName, feedID(app, mode, n))
	if errors.Is(err, ErrNotFound) {
		return outbox.Page{}, false, nil
	}
	if err != nil {
		return outbox.Page{}, false, err
	}
	p, err := feedOf(d)
	return p, err == nil, err
}

// InsertPage implements outbox.Pages. An unknown outcome stays one: two relays
// may have made equal pages, and only one of them may count its events as fed.
func (s *Feed) InsertPage(ctx context.Context, p outbox.Page) error {
	d, err := feedDoc(p)
	if err != nil {
		return err
	}
	return feedError(s.e.Insert(WithPoint(ctx, PointFeedInsert), feedName, d))
}

// ReplacePage implements outbox.Pages.
func (s *Feed) ReplacePage(ctx context.Context, p outbox.Page) error {
	d, err := feedDoc(p)
	if err != nil {
		return err
	}
	return feedError(s.e.Replace(WithPoint(ctx, PointFeedReplace), feedName, d, p.Version))
}

func feedError(err error) error {
	if errors.Is(err, ErrExists) || errors.Is(err, ErrConflict) {
		return fmt.Errorf("%w: %w", outbox.ErrTaken, err)
	}
	return err
}
