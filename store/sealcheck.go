package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/store/seal"
)

// ErrWrongKey says that a key has the id of another one, under which this store was sealed.
var ErrWrongKey = errors.New("store: the encryption key is not the one of this id")

const (
	// sealCheckCursor and a key's id name the cursor that holds a word of ours, sealed under the key.
	sealCheckCursor = "sealcheck/"
	sealCheckWord   = `"trifecta"`
	// sealCheckSample is how many documents of each collection are tried, once, where there is no such word yet; fewer
	// of large ones, so that a start never fails because of a slow line.
	sealCheckSample = 50
)

func sealCheckPlace(key string) seal.Place {
	return seal.Place{Collection: cursors, Document: cursorID(sealCheckCursor + key), Field: "value"}
}

// CheckKeys makes sure, before anything is sealed, that each key is the one that sealed under its id before, and that none
// is missing. A key that was made anew under an old id would seal records that the old one can't open, and both can't be
// configured at once. lost are the ids of keys that are gone for good: what they sealed is nobody's fault any more.
// ErrWrongKey and ErrMissingKey name the id; ErrUnavailable.
func (e *SealedEngine) CheckKeys(ctx context.Context, now time.Time, lost ...string) error {
	gone, err := e.missingKeys(ctx, lost)
	if err != nil {
		return err
	}
	fresh, err := e.openWords(ctx)
	if err != nil {
		return err
	}
	if err := e.noteGone(ctx, gone, now); err != nil || e.Active() == "" {
		return err
	}
	if err := e.forgetGone(ctx, e.Active(), now); err != nil || !fresh {
		return err
	}
	id := e.Active()
	text, err := e.sealer.Seal(sealCheckPlace(id), []byte(sealCheckWord))
	if err != nil {
		return fmt.Errorf("store: check the encryption key: %w", err)
	}
	return NewCursors(e.Engine).Set(ctx, sealCheckCursor+id, text, 1, now)
}

// LookAtKeys is CheckKeys for who may not write.
func (e *SealedEngine) LookAtKeys(ctx context.Context, lost ...string) error {
	if _, err := e.missingKeys(ctx, lost); err != nil {
		return err
	}
	_, err := e.openWords(ctx)
	return err
}

// openWords tries each key on the word that it sealed here, and the active one that sealed none yet on some records;
// fresh: it is one of those.
func (e *SealedEngine) openWords(ctx context.Context) (fresh bool, err error) {
	kept := NewCursors(e.Engine)
	for _, id := range e.sealer.IDs() {
		c, err := kept.Get(ctx, sealCheckCursor+id)
		if err != nil {
			return false, err
		}
		if c.Value != "" {
			if _, err := e.sealer.Open(sealCheckPlace(id), c.Value); err != nil {
				return false, wrongKey(id)
			}
			continue
		}
		if id != e.Active() { // it never sealed here since there are checks, and seals nothing now
			continue
		}
		if err := e.trySample(ctx, id); err != nil {
			return false, err
		}
		fresh = true
	}
	return fresh, nil
}

// trySample opens some of what an older program, which noted no word, sealed under a key. Only if nothing opens is the key
// another one: single records may be damaged.
func (e *SealedEngine) trySample(ctx context.Context, key string) error {
	opened, failed := 0, 0
	for _, coll := range e.names {
		docs, _, err := e.Engine.Scan(ctx, coll, "", atOnce(coll, sealCheckSample))
		if errors.Is(err, ErrUnavailable) {
			return err
		}
		if err != nil {
			continue // somebody's tool wrote a record as none of ours; that is no fault of the key
		}
		for _, d := range docs {
			keys, err := e.underKeys(coll, d)
			if err != nil || len(keys) != 1 || !keys[key] {
				continue
			}
			if _, err := e.open(coll, d); err != nil {
				failed++
			} else {
				opened++
			}
		}
	}
	if failed > 0 && opened == 0 {
		return wrongKey(key)
	}
	return nil
}

func wrongKey(id string) error {
	return fmt.Errorf("%w: this store was sealed under another key named %s. Put that one back; a new key needs an id of its own (see \"To rotate\" in docs/privacy.md)", ErrWrongKey, id)
}
