package sqlite

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// A payment's size and indexes, roughly.
var benchBody = []byte(`{"x":"` + strings.Repeat("y", 2000) + `"}`)

func benchCollections() []store.Collection {
	return []store.Collection{{Name: "payments", Indexes: []store.Index{
		{Name: "by_app", Fields: []string{"app", "created"}},
		{Name: "due", Fields: []string{"state", "due"}},
		{Name: "by_ref", Fields: []string{"refs"}, Array: "refs"},
	}}}
}

func benchDoc(id string, n int64) store.Doc {
	at := time.UnixMilli(1_750_000_000_000 + n)
	return store.Doc{ID: id, Body: benchBody, Index: map[string]any{
		"app": "app_1", "created": at, "state": "open", "due": at, "refs": []string{"a/" + id, "b/" + id},
	}}
}

// BenchmarkCreate is what a payment's creation costs: one insert and one replace, each durable. Compare the number of
// writers: commits are shared.
func BenchmarkCreate(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			e := openAt(b, tempFile(b), benchCollections())
			var n atomic.Int64
			b.SetParallelism(max(1, writers/2)) // times GOMAXPROCS
			if writers == 1 {
				for b.Loop() {
					create(b, e, n.Add(1))
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						create(b, e, n.Add(1))
					}
				})
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
		})
	}
}

func create(b *testing.B, e *Engine, n int64) {
	d := benchDoc(fmt.Sprintf("%016x", uint64(n)*0x9E3779B97F4A7C15), n)
	if err := e.Insert(b.Context(), "payments", d); err != nil {
		b.Fatal(err)
	}
	d.Index["state"] = "done"
	if err := e.Replace(b.Context(), "payments", d, 1); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkGet reads by id out of 10,000; BenchmarkDue takes a worker's page of 20.
func BenchmarkGet(b *testing.B) {
	e := filled(b)
	n := 0
	for b.Loop() {
		n = (n + 7919) % 10_000
		if _, err := e.Get(b.Context(), "payments", fmt.Sprint("p", n)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDue(b *testing.B) {
	e := filled(b)
	q := store.Query{Index: "due", SortBy: "due", Limit: 20, Where: []store.Filter{
		store.Where("state", store.In, "open", "retry"), store.Where("due", store.Lte, time.UnixMilli(1_760_000_000_000)),
	}}
	for b.Loop() {
		docs, _, err := e.Query(b.Context(), "payments", q)
		if err != nil || len(docs) != 20 {
			b.Fatal(len(docs), err)
		}
	}
}

func filled(b *testing.B) *Engine {
	b.Helper()
	e := openAt(b, tempFile(b), benchCollections())
	done := make(chan error)
	for w := range 50 {
		go func() {
			var err error
			for i := w; i < 10_000 && err == nil; i += 50 {
				err = e.Insert(b.Context(), "payments", benchDoc(fmt.Sprint("p", i), int64(i)))
			}
			done <- err
		}()
	}
	for range 50 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return e
}
