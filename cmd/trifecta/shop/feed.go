package shop

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// event is one entry of Trifecta's feed, as far as the shop reads it.
type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		Object struct {
			ID     string `json:"id"`
			Object string `json:"object"`
			Status string `json:"status"`
		} `json:"object"`
	} `json:"data"`
}

// followEvery is how often the shop asks for news.
const followEvery = time.Second

// Follow reads the feed of events until ctx ends, and remembers what each order
// became. The feed is complete and in order, so a shop that was away for a day
// only has to read on from its cursor.
func (s *Shop) Follow(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		if err := s.catchUp(ctx); err != nil && ctx.Err() == nil {
			s.opts.Logger.InfoContext(ctx, "shop could not read the feed, will try again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// catchUp reads the feed to its present end.
func (s *Shop) catchUp(ctx context.Context) error {
	for ctx.Err() == nil {
		s.mu.Lock()
		cursor := s.cursor
		s.mu.Unlock()
		path := "/v1/events?limit=100"
		if cursor != "" {
			path += "&after=" + url.QueryEscape(cursor)
		}
		var page struct {
			Data []event `json:"data"`
			Next string  `json:"next"`
		}
		if err := s.call(ctx, http.MethodGet, path, "", nil, &page); err != nil {
			return err
		}
		s.learn(page.Data, page.Next)
		if len(page.Data) == 0 {
			return nil
		}
	}
	return nil
}

// learn notes what events say of payments. Clients ignore types they don't know.
func (s *Shop) learn(events []event, next string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = next
	for _, e := range events {
		if o := e.Data.Object; o.Object == "payment" {
			s.told[o.ID] = o.Status
		}
	}
}
