package httpapi

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// hostile makes bodies of the worst shapes, each of about so many bytes.
var hostile = map[string]func(size int) string{
	"keys":         func(n int) string { return "{" + keys(n) + "}" },
	"keys in case": func(n int) string { return "{" + strings.ToUpper(keys(n)) + "}" },
	"metadata":     func(n int) string { return `{"metadata":{` + keys(n) + "}}" },
	"items":        func(n int) string { return `{"line_items":[0` + strings.Repeat(",0", n/2) + "]}" },
	"objects":      func(n int) string { return `{"line_items":[{}` + strings.Repeat(",{}", n/3) + "]}" },
	"one key":      func(n int) string { return `{"` + strings.Repeat("k", n) + `":1}` },
	"one string":   func(n int) string { return `{"currency":"` + strings.Repeat(`\u0061`, n/6) + `"}` },
	"one number":   func(n int) string { return `{"amount":` + strings.Repeat("9", n) + "}" },
	"surrogates":   func(n int) string { return `{"reference":"` + strings.Repeat(`\ud83d\ude00`, n/12) + `"}` },
	"backslashes":  func(n int) string { return `{"reference":"` + strings.Repeat(`\\`, n/2) + `"}` },
	"brackets":     func(n int) string { return strings.Repeat("[", n) },
	"space":        func(n int) string { return "{}" + strings.Repeat(" ", n) },
}

// keys are members of different names.
func keys(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size-12; i++ {
		_, _ = fmt.Fprintf(&b, `"k%d":0,`, i)
	}
	return b.String() + `"last":0`
}

// J3: Promise: four times the body takes about four times the work, whatever its shape,
// and not sixteen times: what grows with the square of the keys of one body is a way to
// stop everybody with a few. Of each size the quickest run counts, and a busy machine gets
// more of them; nothing else runs, nor does the collector, which comes to large bodies only.
func TestJ3WorkGrowsWithTheBody(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	read := func(raw []byte) time.Duration {
		runtime.GC()
		start := time.Now()
		_, _ = bindCreate(raw) // refused, nearly all of them; TestHostileBodiesAreCheap looks at that
		return time.Since(start)
	}
	for name, of := range hostile {
		small, large := []byte(of(maxBody/16)), []byte(of(maxBody/4))
		quick, slow := time.Hour, time.Hour
		for range 100 {
			quick, slow = min(quick, read(small), read(small)), min(slow, read(large))
			if slow < 6*quick {
				break
			}
		}
		if slow >= 8*quick {
			t.Errorf("%s: %d bytes take %v, %d bytes %v", name, len(small), quick, len(large), slow)
		}
	}
}

// J3: Promise: of a list that is too long only so much is kept that it is refused for it: an
// evidence body full of items, 5 MiB, would take a hundred times that.
func TestJ3LongListsAreNotKept(t *testing.T) {
	t.Parallel()
	for _, n := range []int{maxItems, maxItems + 1, 100_000} {
		raw := []byte(`{"line_items":[0` + strings.Repeat(",0", n-1) + "]}")
		got, err := parseJSON(raw)
		if err != nil {
			t.Fatal(err)
		}
		if kept := len(got.members[0].value.items); kept != min(n, maxItems+1) {
			t.Errorf("%d items of %d are kept", kept, n)
		}
		_, err = bindCreate(raw)
		if tooMany := err != nil && strings.Contains(err.Error(), "/line_items must have at most 1000 items"); tooMany != (n > maxItems) {
			t.Errorf("%d items: %.300v", n, err)
		}
	}
}
