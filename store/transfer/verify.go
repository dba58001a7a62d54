package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// verifyAll compares every document. What differs (the source went on while the copy was interrupted) is repaired, and
// then the collection has to be the same.
func (r *run) verifyAll(ctx context.Context) (repaired map[string]int64, err error) {
	if err := r.save(ctx, store.MigrationVerifying); err != nil {
		return nil, err
	}
	r.done, repaired = 0, map[string]int64{}
	for _, c := range r.Collections {
		before := r.done
		found, err := r.compare(ctx, c, true)
		if err == nil && found.differ > 0 {
			repaired[c.Name] = found.differ
			r.done = before
			found, err = r.compare(ctx, c, false)
		}
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", c.Name, err)
		}
		if found.differ > 0 {
			return nil, fmt.Errorf("%w: %s: %d of %d documents, such as %s", ErrDiffers, c.Name, found.differ, found.source.count, found.example)
		}
		at := r.m.Collections[c.Name]
		at.Count, at.Digest = found.source.count, found.source.sum()
		if at.Count != found.target.count || at.Digest != found.target.sum() {
			return nil, fmt.Errorf("%w: %s: digests %s (%d documents) and %s (%d)", ErrDiffers, c.Name, at.Digest, at.Count, found.target.sum(), found.target.count)
		}
		r.m.Collections[c.Name] = at
	}
	return repaired, nil
}

// comparison is what one walk over a collection in both stores found.
type comparison struct {
	source, target *digest
	differ         int64
	example        string
}

// compare walks both stores in order of id.
func (r *run) compare(ctx context.Context, c store.Collection, repair bool) (comparison, error) {
	out := comparison{source: newDigest(), target: newDigest()}
	theirs := &walk{e: r.Source, coll: c, pages: pacer{most: r.PageSize}}
	ours := &walk{e: r.Target, coll: c, pages: pacer{most: r.PageSize}}
	var wrong []store.Doc
	for n := 1; ; n++ {
		s, sok, err := theirs.peek(ctx)
		if err != nil {
			return out, fmt.Errorf("read the source: %w", err)
		}
		t, tok, err := ours.peek(ctx)
		if err != nil {
			return out, fmt.Errorf("read the target: %w", err)
		}
		if !sok && !tok || len(wrong) >= theirs.pages.size() {
			if err := r.repair(ctx, c, wrong); err != nil {
				return out, err
			}
			wrong = nil
		}
		if n%theirs.pages.size() == 0 || !sok && !tok {
			if err := r.tick(ctx, c); err != nil {
				return out, err
			}
		}
		if !sok && !tok {
			return out, nil
		}
		if order := place(s, sok, t, tok); order > 0 { // the target has one too many
			ours.take()
			out.target.add(t)
			out.note(t.ID)
			if repair {
				err = r.remove(ctx, c, t)
			}
		} else {
			theirs.take()
			out.source.add(s)
			r.done++
			if order == 0 {
				ours.take()
				out.target.add(t)
			}
			if order < 0 || !same(s, t) {
				out.note(s.ID)
				if repair {
					wrong = append(wrong, s)
				}
				if repair && order == 0 && t.Version > s.Version { // made anew in the source: Import would leave it
					err = r.remove(ctx, c, t)
				}
			}
		}
		if err != nil {
			return out, err
		}
	}
}

// place says which of the two comes first: below 0 the source's, above 0 the target's, 0 for one id.
func place(s store.Doc, sok bool, t store.Doc, tok bool) int {
	switch {
	case !sok:
		return 1
	case !tok:
		return -1
	}
	return strings.Compare(s.ID, t.ID)
}

func (c *comparison) note(id string) {
	c.differ++
	if c.example == "" {
		c.example = id
	}
}

func (r *run) repair(ctx context.Context, c store.Collection, docs []store.Doc) error {
	if len(docs) == 0 {
		return nil
	}
	if err := r.hold(ctx); err != nil {
		return err
	}
	importer, _ := r.Target.(store.Importer) // checked by Run
	return importer.Import(store.WithPoint(ctx, store.PointMigrationCopy), c.Name, docs)
}

// remove takes a document out of the target that the source has deleted since it was copied, and perhaps made anew. The
// target began empty, so it came from nowhere else.
func (r *run) remove(ctx context.Context, c store.Collection, d store.Doc) error {
	if err := r.hold(ctx); err != nil {
		return err
	}
	err := r.Target.Delete(store.WithPoint(ctx, store.PointMigrationRemove), c.Name, d.ID, d.Version)
	if errors.Is(err, store.ErrConflict) {
		return nil // gone by an earlier try; anything else shows in the second comparison
	}
	return err
}

// tick tells how far it is, and now and then that this process lives.
func (r *run) tick(ctx context.Context, c store.Collection) error {
	r.Progress(Progress{State: store.MigrationVerifying, Collection: c.Name, Done: r.done, Total: r.total})
	if r.Clock().Sub(r.m.UpdatedAt) < renewAfter {
		return nil
	}
	return r.save(ctx, store.MigrationVerifying)
}

// walk reads a collection in order of id, one document at a time.
type walk struct {
	e     store.Engine
	coll  store.Collection
	pages pacer
	docs  []store.Doc
	after string
	ended bool
}

// peek is the next document; ok is false at the end.
func (w *walk) peek(ctx context.Context) (d store.Doc, ok bool, err error) {
	for len(w.docs) == 0 && !w.ended {
		if w.docs, w.after, err = w.e.Scan(ctx, w.coll.Name, w.after, w.pages.size()); err != nil {
			return store.Doc{}, false, err
		}
		w.pages.saw(w.docs)
		w.ended = w.after == ""
		for i := range w.docs {
			w.docs[i] = w.coll.Fit(w.docs[i])
		}
	}
	if len(w.docs) == 0 {
		return store.Doc{}, false, nil
	}
	return w.docs[0], true, nil
}

func (w *walk) take() { w.docs = w.docs[1:] }

// digest is the rolling hash of a collection.
type digest struct {
	h     hash.Hash
	count int64
}

func newDigest() *digest { return &digest{h: sha256.New()} }

func (d *digest) add(doc store.Doc) {
	d.count++
	_, _ = d.h.Write(encode(doc)) // a hash never fails (hash.Hash docs)
}

func (d *digest) sum() string { return hex.EncodeToString(d.h.Sum(nil)) }

func same(a, b store.Doc) bool { return string(encode(a)) == string(encode(b)) }

// encode writes a document so that two are the same exactly if their bytes are: every part with its length.
func encode(d store.Doc) []byte {
	out := binary.AppendUvarint(nil, uint64(d.Version))
	text := func(s string) {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	text(d.ID)
	text(string(d.Body))
	for _, f := range slices.Sorted(maps.Keys(d.Index)) {
		text(f)
		switch v := d.Index[f].(type) {
		case []string:
			out = binary.AppendUvarint(append(out, 'a'), uint64(len(v)))
			for _, s := range v {
				text(s)
			}
		case string:
			out = append(out, 's')
			text(v)
		case time.Time:
			out = binary.AppendVarint(append(out, 't'), v.UnixMilli())
		default:
			text(fmt.Sprintf("%T %v", v, v)) // int64, bool
		}
	}
	return out
}
