package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trifecta-pay/trifecta/store/seal"
)

// PointReseal is the write that brings one document under the active key.
const PointReseal WritePoint = "seal.rewrite"

// SealedEngine encrypts what collections declare as Sealed on its way into an engine, and decrypts it on its way out.
// The record mappings above it and the engine below it know nothing of it; ids, versions and index values stay plain, so
// what is searched for must not be personal. It opens what any of its keys sealed, and what was stored plain before
// there were keys.
//
// A sealed value replaces the JSON value at its place: {"sealed":["v1","KEYID.BASE64"]}. No plain value can look like
// that, whatever a caller sends: only strings, bytes, string maps and objects that we render are declared Sealed.
type SealedEngine struct {
	Engine // the one below: what it returns is sealed

	sealer *seal.Sealer
	places map[string]*places
	decls  map[string]Collection // those with places
	names  []string              // of the collections with places, in order
	digest string                // of all places
}

const (
	sealedHead = `{"sealed":["v1","`
	sealedTail = `"]}`
)

// Sealed wraps an engine. Without keys it stores plain values and refuses to read sealed ones. ErrInvalid for a
// declaration that makes no sense.
func Sealed(e Engine, colls []Collection, s *seal.Sealer) (*SealedEngine, error) {
	out := &SealedEngine{Engine: e, sealer: s, places: map[string]*places{}, decls: map[string]Collection{}}
	for _, c := range colls {
		p, err := newPlaces(c.Sealed)
		if err != nil {
			return nil, fmt.Errorf("%w: collection %s: %w", ErrInvalid, c.Name, err)
		}
		if p != nil {
			out.places[c.Name], out.decls[c.Name] = p, c
			out.names = append(out.names, c.Name)
		}
	}
	out.digest = digestPlaces(colls)
	return out, nil
}

// digestPlaces differs exactly when other places are declared, in whatever order. No name or path holds a line break.
func digestPlaces(colls []Collection) string {
	var lines []string
	for _, c := range colls {
		for _, path := range c.Sealed {
			lines = append(lines, c.Name+" "+path)
		}
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:16])
}

// empty values are not worth hiding.
func empty(raw []byte) bool {
	switch string(raw) {
	case `null`, `""`, `{}`, `[]`:
		return true
	}
	return false
}

// sealedText is the text of a value if it is sealed.
func sealedText(raw []byte) (string, bool) {
	rest, ok := bytes.CutPrefix(raw, []byte(sealedHead))
	if !ok {
		return "", false
	}
	rest, ok = bytes.CutSuffix(rest, []byte(sealedTail))
	return string(rest), ok
}

func (e *SealedEngine) seal(coll string, d Doc) (Doc, error) {
	p := e.places[coll]
	if p == nil || e.sealer.Active() == "" {
		return d, nil
	}
	body, err := p.rewrite(d.Body, func(path string, raw []byte) ([]byte, error) {
		if empty(raw) {
			return nil, nil
		}
		text, err := e.sealer.Seal(seal.Place{Collection: coll, Document: d.ID, Field: path}, raw)
		if err != nil {
			return nil, err
		}
		return []byte(sealedHead + text + sealedTail), nil
	})
	if errors.Is(err, errBroken) {
		return Doc{}, fmt.Errorf("%w: %s %s: %w", ErrInvalid, coll, d.ID, err)
	}
	if err != nil {
		return Doc{}, fmt.Errorf("store: seal %s %s: %w", coll, d.ID, err)
	}
	d.Body = body
	return d, nil
}

func (e *SealedEngine) open(coll string, d Doc) (Doc, error) {
	p := e.places[coll]
	if p == nil || !bytes.Contains(d.Body, []byte(sealedHead)) {
		return d, nil
	}
	body, err := p.rewrite(d.Body, func(path string, raw []byte) ([]byte, error) {
		text, ok := sealedText(raw)
		if !ok {
			return nil, nil // stored plain
		}
		plain, err := e.sealer.Open(seal.Place{Collection: coll, Document: d.ID, Field: path}, text)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", path, err)
		}
		return plain, nil
	})
	if err != nil {
		return Doc{}, fmt.Errorf("store: open %s %s: %w", coll, d.ID, err)
	}
	d.Body = body
	return d, nil
}

// openAll opens what several documents hold. One that can't be opened never hides the others: its body says why
// instead, and whoever decodes it meets an unknown schema and that text (see unreadable).
func (e *SealedEngine) openAll(coll string, docs []Doc) []Doc {
	for i := range docs {
		d, err := e.open(coll, docs[i])
		if err != nil {
			docs[i].Body = UnreadableBody(err)
			continue
		}
		docs[i] = d
	}
	return docs
}

type unreadableRecord struct {
	Schema     int    `json:"schema"`
	Unreadable string `json:"unreadable,omitempty"`
}

// UnreadableBody is the body that a query gives a record which can't be read, so that it hides no others: no record
// has its schema, and whoever decodes it is told why.
func UnreadableBody(err error) []byte {
	body, merr := json.Marshal(unreadableRecord{Unreadable: err.Error()})
	if merr != nil { // a string always encodes
		return []byte(`{"schema":0}`)
	}
	return body
}

// unreadable is the error for a document whose schema is not the one expected: an older or newer program's, or one that
// could not be opened.
func unreadable(kind string, d Doc, schema int) error {
	var r unreadableRecord
	if json.Unmarshal(d.Body, &r) == nil && r.Unreadable != "" {
		return fmt.Errorf("store: %s %s can't be read: %s", kind, d.ID, r.Unreadable)
	}
	return fmt.Errorf("store: %s %s has schema %d, this program reads 1", kind, d.ID, schema)
}

// Insert implements Engine.
func (e *SealedEngine) Insert(ctx context.Context, coll string, d Doc) error {
	d, err := e.seal(coll, d)
	if err != nil {
		return err
	}
	return e.Engine.Insert(ctx, coll, d)
}

// Replace implements Engine.
func (e *SealedEngine) Replace(ctx context.Context, coll string, d Doc, ifVersion int64) error {
	d, err := e.seal(coll, d)
	if err != nil {
		return err
	}
	return e.Engine.Replace(ctx, coll, d, ifVersion)
}

// Get implements Engine.
func (e *SealedEngine) Get(ctx context.Context, coll, id string) (Doc, error) {
	d, err := e.Engine.Get(ctx, coll, id)
	if err != nil {
		return Doc{}, err
	}
	return e.open(coll, d)
}

// GetMany implements Engine.
func (e *SealedEngine) GetMany(ctx context.Context, coll string, ids []string) ([]Doc, error) {
	docs, err := e.Engine.GetMany(ctx, coll, ids)
	return e.openAll(coll, docs), err
}

// Query implements Engine.
func (e *SealedEngine) Query(ctx context.Context, coll string, q Query) ([]Doc, string, error) {
	docs, next, err := e.Engine.Query(ctx, coll, q)
	return e.openAll(coll, docs), next, err
}

// Scan implements Engine.
func (e *SealedEngine) Scan(ctx context.Context, coll, after string, limit int) ([]Doc, string, error) {
	docs, next, err := e.Engine.Scan(ctx, coll, after, limit)
	return e.openAll(coll, docs), next, err
}

// Active is the id of the key under which new values are sealed; "" without keys.
func (e *SealedEngine) Active() string { return e.sealer.Active() }

// SealedCollections names the collections that have something to seal, in order.
func (e *SealedEngine) SealedCollections() []string { return e.names }

// underKeys are the keys under which a document's values stand as stored, "" for plain ones.
func (e *SealedEngine) underKeys(coll string, raw Doc) (map[string]bool, error) {
	keys := map[string]bool{}
	_, err := e.places[coll].rewrite(raw.Body, func(_ string, value []byte) ([]byte, error) {
		if empty(value) {
			return nil, nil
		}
		text, ok := sealedText(value)
		if !ok {
			text = ""
		}
		keys[seal.KeyID(text)] = true
		return nil, nil
	})
	return keys, err
}

// Resealed is what one Reseal did.
type Resealed struct {
	Seen    int // documents looked at
	Written int // brought under the active key
	// Keys counts documents by the key under which some value of theirs stood when they were seen; "" is plain.
	Keys map[string]int
	// Failed are documents that could not be opened or written; the first error says why.
	Failed int
	Err    error
}

// Reseal looks at up to limit documents of a collection from the cursor on and, if write is true, brings those under the
// active key that are not: plain ones, and those under older keys. next is where to go on, "" at the end. A document
// that changes meanwhile is left alone: whoever wrote it sealed it. The error is of the scan alone; a single document
// that can't be opened is counted as Failed and passed by.
func (e *SealedEngine) Reseal(ctx context.Context, coll, after string, limit int, write bool) (done Resealed, next string, err error) {
	done.Keys = map[string]int{}
	if e.places[coll] == nil {
		return done, "", nil
	}
	docs, next, err := e.Engine.Scan(ctx, coll, after, limit)
	if err != nil {
		return done, "", err
	}
	fail := func(err error) {
		done.Failed++
		if done.Err == nil {
			done.Err = err
		}
	}
	for _, raw := range docs {
		done.Seen++
		keys, err := e.underKeys(coll, raw)
		if err != nil {
			fail(fmt.Errorf("store: %s %s: %w", coll, raw.ID, err))
			continue
		}
		for k := range keys {
			done.Keys[k]++
		}
		if len(keys) == 0 || len(keys) == 1 && keys[e.Active()] || !write || e.Active() == "" {
			continue
		}
		plain, err := e.open(coll, raw)
		if err == nil {
			err = e.Replace(WithPoint(ctx, PointReseal), coll, e.decls[coll].Fit(plain), raw.Version)
		}
		switch {
		case err == nil:
			done.Written++
		case errors.Is(err, ErrConflict):
		default:
			fail(err)
		}
	}
	return done, next, nil
}
