package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// PointShareTake and PointShareLeave name the writes of rate shares.
const (
	PointShareTake  WritePoint = "share.take"
	PointShareLeave WritePoint = "share.leave"
)

const (
	sharesName = "rate_shares"
	sharesID   = "rate_shares/all"
)

// Parts of a rate budget, in millionths of it. All that are leased together never exceed leasable; what is left of the
// whole is for processes that can't reach the store, or have no share yet.
const (
	leasable  = 900_000
	regular   = 850_000 // divided among the holders; the rest lets a newcomer begin before the others have made room
	cutOff    = 50_000  // of processes whose share has ended, together
	nextToNil = 10_000  // of newcomers for whom nothing was left yet, together
)

// ShareCollection declares the shares of the rate budgets: one document, found by its id.
func ShareCollection() Collection { return Collection{Name: sharesName} }

// Shares divide every rate budget among the processes on one store: each holds a share for a short time, makes room
// when others come, and takes more when they are gone. One document holds them all, so that what is leased together is
// decided by compare-and-swap, and never exceeds the whole. A share holds for every provider account alike.
type Shares struct{ e Engine }

// NewShares keeps shares in an engine.
func NewShares(e Engine) *Shares { return &Shares{e: e} }

// Share is what one process may use.
type Share struct {
	Parts   int64     // millionths of each budget; 0: nothing was left yet
	Holders int       // how many hold shares, this process included
	Until   time.Time // end of the share
}

// At is what the holder may use at a time: its share, or when that has ended a small part that needs no lease. Between
// the holder and whoever takes over lies margin, for clocks that differ. The zero Share is that of a process that never
// had one.
func (s Share) At(now time.Time, margin time.Duration) int64 {
	holders := int64(max(s.Holders, 1))
	switch {
	case !now.Before(s.Until.Add(-margin)):
		return cutOff / holders
	case s.Parts == 0:
		return nextToNil / holders
	}
	return s.Parts
}

type sharesRecord struct {
	Schema  int           `json:"schema"`
	Holders []shareHolder `json:"holders"`
}

type shareHolder struct {
	ID      string `json:"id"`
	Parts   int64  `json:"parts"`
	UntilMS int64  `json:"until_ms"` // Unix milliseconds
}

// divided is the record after id has asked for its share, and whether that changes anything worth writing.
func (r sharesRecord) divided(id string, ttl time.Duration, now time.Time) (sharesRecord, Share, bool) {
	var mine *shareHolder
	next := sharesRecord{Schema: 1}
	others, dropped := int64(0), false
	for _, h := range r.Holders {
		switch {
		case h.ID == id:
			mine = &h
		case h.UntilMS <= now.UnixMilli():
			dropped = true
		default:
			next.Holders = append(next.Holders, h)
			others += h.Parts
		}
	}
	n := len(next.Holders) + 1
	parts := max(0, min(regular/int64(n), leasable-others))
	fresh := shareHolder{ID: id, Parts: parts, UntilMS: now.Add(ttl).UnixMilli()}
	changed := dropped || mine == nil || mine.Parts != parts || mine.UntilMS-now.UnixMilli() <= ttl.Milliseconds()/2
	if !changed {
		fresh = *mine
	}
	next.Holders = append(next.Holders, fresh)
	slices.SortFunc(next.Holders, func(a, b shareHolder) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return next, Share{Parts: parts, Holders: n, Until: time.UnixMilli(fresh.UntilMS).UTC()}, changed
}

func sharesOf(d Doc) (sharesRecord, error) {
	var r sharesRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return r, fmt.Errorf("store: the rate shares can't be read: %w", err)
	}
	return r, nil
}

// Preview says which share id would get now, without taking it: a process that must make room does so first.
func (s *Shares) Preview(ctx context.Context, id string, ttl time.Duration, now time.Time) (Share, error) {
	d, err := s.e.Get(ctx, sharesName, sharesID)
	if errors.Is(err, ErrNotFound) {
		_, share, _ := sharesRecord{}.divided(id, ttl, now)
		return share, nil
	}
	if err != nil {
		return Share{}, err
	}
	r, err := sharesOf(d)
	_, share, _ := r.divided(id, ttl, now)
	return share, err
}

// Take takes or renews the share of id for ttl, which must be well above what clocks differ by. It writes only where
// something changes or half of the time is over. ErrUnavailable: the share held before stays until its end.
func (s *Shares) Take(ctx context.Context, id string, ttl time.Duration, now time.Time) (Share, error) {
	ctx = WithPoint(ctx, PointShareTake)
	var share Share
	take := func() error {
		_, err := Update(ctx, s.e, sharesName, sharesID, func(d Doc) (Doc, error) {
			r, err := sharesOf(d)
			if err != nil {
				return d, err
			}
			next, got, changed := r.divided(id, ttl, now)
			if share = got; !changed {
				return d, ErrUnchanged
			}
			d.Body, err = json.Marshal(next)
			return d, err
		})
		return err
	}
	err := take()
	if !errors.Is(err, ErrNotFound) {
		return share, err
	}
	if _, _, err := InsertOnce(ctx, s.e, sharesName, Doc{ID: sharesID, Body: []byte(`{"schema":1,"holders":[]}`)}); err != nil {
		return Share{}, err
	}
	err = take()
	return share, err
}

// Leave gives the share of id back at once. None is fine.
func (s *Shares) Leave(ctx context.Context, id string) error {
	_, err := Update(WithPoint(ctx, PointShareLeave), s.e, sharesName, sharesID, func(d Doc) (Doc, error) {
		r, err := sharesOf(d)
		if err != nil {
			return d, err
		}
		left := slices.DeleteFunc(slices.Clone(r.Holders), func(h shareHolder) bool { return h.ID == id })
		if len(left) == len(r.Holders) {
			return d, ErrUnchanged
		}
		r.Holders = left
		d.Body, err = json.Marshal(r)
		return d, err
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
