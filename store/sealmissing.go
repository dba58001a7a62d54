package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrMissingKey says that records are sealed under a key that is not configured: they could not be read, and whoever
// took payments beside them would do so on half a record.
var ErrMissingKey = errors.New("store: an encryption key is not configured")

// sealGoneCursor and a key's id name the cursor that says that nothing was left under a key that sealed here once. The
// counts of a rotation say the same, but only until the next rotation begins.
const sealGoneCursor = "sealgone/"

// missingKeys refuses a store that holds records under a key that is not configured. lost are the ids of keys that
// somebody has said are gone for good. It returns the ids of the keys under which nothing is left.
func (e *SealedEngine) missingKeys(ctx context.Context, lost []string) (gone []string, err error) {
	sealed, marked, err := e.keysThatSealed(ctx)
	if err != nil {
		return nil, err
	}
	configured := e.sealer.IDs()
	sealed = slices.DeleteFunc(sealed, func(id string) bool { return slices.Contains(configured, id) || slices.Contains(lost, id) })
	if len(sealed) == 0 {
		return nil, nil
	}
	round, err := e.lastRound(ctx)
	if err != nil {
		return nil, err
	}
	var open []string
	for _, id := range sealed {
		switch { // a round for this very key is under way or was the last: a server may seal under it now
		case round.Active != id && round.noneUnder(id):
			gone = append(gone, id)
		case round.Active != id && slices.Contains(marked, id):
		default:
			open = append(open, id)
		}
	}
	for _, id := range open {
		where, err := e.under(ctx, id)
		if err != nil {
			return nil, err
		}
		if where != "" {
			return nil, missingKey(id, where, len(configured) == 0)
		}
		gone = append(gone, id)
	}
	return gone, nil
}

// keysThatSealed lists the keys that ever were active here, and those of which it is noted that nothing is left.
func (e *SealedEngine) keysThatSealed(ctx context.Context) (sealed, gone []string, err error) {
	for after := ""; ; {
		docs, next, err := e.Engine.Scan(ctx, cursors, after, MaxLimit)
		if err != nil {
			return nil, nil, fmt.Errorf("store: check the encryption keys: %w", err)
		}
		for _, d := range docs {
			key, isCheck := strings.CutPrefix(d.ID, cursorID(sealCheckCursor))
			note, isNote := strings.CutPrefix(d.ID, cursorID(sealGoneCursor))
			if !isCheck && !isNote {
				continue
			}
			r, err := decodeCursorRecord(d)
			switch {
			case err != nil:
				return nil, nil, err
			case r.Value == "":
			case isCheck:
				sealed = append(sealed, key)
			default:
				gone = append(gone, note)
			}
		}
		if after = next; after == "" {
			return sealed, gone, nil
		}
	}
}

// lastRound reads how far the last rotation got, whichever key it was for.
func (e *SealedEngine) lastRound(ctx context.Context) (resealRecord, error) {
	var rec resealRecord
	c, err := NewCursors(e.Engine).Get(ctx, resealCursor)
	if err != nil || c.Value == "" {
		return rec, err
	}
	if err := json.Unmarshal([]byte(c.Value), &rec); err != nil {
		return rec, fmt.Errorf("store: %s can't be read: %w", c.Name, err)
	}
	return rec, nil
}

// noneUnder says whether the round has counted everything and found nothing under a key.
func (rec resealRecord) noneUnder(key string) bool {
	if rec.Phase != ResealDone {
		return false
	}
	for _, counts := range rec.Records {
		if counts[key] > 0 {
			return false
		}
	}
	return true
}

// under names a record with something sealed under a key; "" if there is none. It reads everything where there is none:
// only where no rotation has counted.
func (e *SealedEngine) under(ctx context.Context, key string) (string, error) {
	for _, coll := range e.names {
		for after := ""; ; {
			docs, next, err := e.Engine.Scan(ctx, coll, after, atOnce(coll, MaxLimit))
			if err != nil {
				return "", fmt.Errorf("store: look for records under the key %s: %w", key, err)
			}
			for _, d := range docs {
				if keys, err := e.underKeys(coll, d); err == nil && keys[key] {
					return coll + " " + d.ID, nil
				}
			}
			if after = next; after == "" {
				break
			}
		}
	}
	return "", nil
}

func missingKey(id, where string, none bool) error {
	what := "is not among the configured keys"
	if none {
		what = "is not configured, and no other key is"
	}
	return fmt.Errorf("%w: the key %s %s, but records are sealed under it (the first found: %s). Put it back under encryption.keys; it may go when \"trifecta encryption rotate\", run with both keys, has left nothing under it. Only if it is lost for good, name it under encryption.lost: what it sealed stays unreadable", ErrMissingKey, id, what, where)
}

// noteGone remembers under which keys nothing was left.
func (e *SealedEngine) noteGone(ctx context.Context, keys []string, now time.Time) error {
	kept := NewCursors(e.Engine)
	for _, id := range keys {
		if err := kept.Set(ctx, sealGoneCursor+id, "nothing left", 1, now); err != nil {
			return err
		}
	}
	return nil
}

// forgetGone takes a note back: the key seals again.
func (e *SealedEngine) forgetGone(ctx context.Context, key string, now time.Time) error {
	kept := NewCursors(e.Engine)
	c, err := kept.Get(ctx, sealGoneCursor+key)
	if err != nil || c.Value == "" {
		return err
	}
	return kept.Set(ctx, sealGoneCursor+key, "", 1, now)
}
