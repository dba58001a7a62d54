package transfer_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/transfer"
)

// slow is an engine behind a line that carries so many bytes before an operation's deadline.
type slow struct {
	store.Engine
	t     *testing.T
	bytes int
	calls int
}

func (s *slow) carries(docs []store.Doc) error {
	s.calls++
	sum := 0
	for _, d := range docs {
		sum += len(d.Body)
	}
	if sum > s.bytes {
		return fmt.Errorf("%w: %d bytes at once", store.ErrUnavailable, sum)
	}
	return nil
}

func (s *slow) Scan(ctx context.Context, coll, after string, limit int) ([]store.Doc, string, error) {
	docs, next, err := s.Engine.Scan(ctx, coll, after, limit)
	if err == nil {
		err = s.carries(docs)
	}
	return docs, next, err
}

func (s *slow) Import(ctx context.Context, coll string, docs []store.Doc) error {
	if err := s.carries(docs); err != nil {
		return err
	}
	im, ok := s.Engine.(store.Importer)
	if !ok {
		s.t.Fatal("the engine takes nothing over")
	}
	return im.Import(ctx, coll, docs)
}

// Guards "run the same command again: it goes on": large documents are copied in pages that a slow line carries within
// an operation's time. A page that is too large would fail at every try, and the shop could never move. Small documents
// still travel by the hundred.
func TestLargeDocumentsTravelInSmallPages(t *testing.T) {
	t.Parallel()
	from := newMem(t)
	put := func(coll, id string, size int) {
		body := slicesOf(size)
		if err := from.Import(t.Context(), coll, []store.Doc{{ID: id, Version: 1, Body: body}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		put("evidence_files", fmt.Sprintf("f%03d", i), 900<<10)
		put("inbox", fmt.Sprintf("small%03d", i), 300)
		put("inbox_bodies", fmt.Sprintf("x%03d", i), 100+i/20*(900<<10)) // small ones, then large ones
	}
	for i := range 2000 {
		put("claims", fmt.Sprintf("c%04d", i), 200)
	}
	const carried = 32 << 20
	source, target := &slow{Engine: from, t: t, bytes: carried}, &slow{Engine: newMem(t), t: t, bytes: carried}
	report, err := transfer.Run(t.Context(), transfer.Options{
		Source: source, Target: target, SourceName: "a", Owner: "o", Clock: ticking(), Collections: store.Collections(), SourceExclusive: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, c := range report.Collections {
		sum += c.Count
	}
	if sum != 2120 {
		t.Errorf("%d documents", sum)
	}
	if source.calls > 200 {
		t.Errorf("%d reads of the source: small documents travel one by one", source.calls)
	}
}

// slicesOf is a JSON object of about so many bytes.
func slicesOf(size int) []byte {
	return fmt.Appendf(nil, `{"x":"%s"}`, bytes.Repeat([]byte("y"), size))
}
