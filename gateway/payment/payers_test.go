package payment

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Guards I6 at the bound on declines: the same ones are kept in whichever order a
// card tester's tries were seen, and a payment can't be made to grow without end.
func TestDeclinesAreBoundedInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) []Decline {
			var out []Decline
			for i := range rapid.IntRange(0, MaxDeclines).Draw(t, name) {
				id := fmt.Sprintf("%s%d", rapid.SampledFrom([]string{"x", name}).Draw(t, "shared"), i)
				// A creation time belongs to its object: equal for every sighting of it.
				out = append(out, Decline{Key: stripeKey(id), N: 1, Stamp: stamp(len(id)*7+i%50, rapid.IntRange(0, 9).Draw(t, "as_of"))})
			}
			return out
		}
		a, b, c := Facts{Declines: draw("a")}, Facts{Declines: draw("b")}, Facts{Declines: draw("c")}
		all := a.Merge(b).Merge(c)
		if len(all.Declines) > MaxDeclines {
			t.Fatalf("%d declines are kept", len(all.Declines))
		}
		sameFacts(t, "any grouping and order", c.Merge(b.Merge(a)), all)
		sameFacts(t, "again", all.Merge(b).Merge(all), all)
	})
}

// Guards that the same person is known again however they write their address, and
// that what is no address is nobody.
func TestEmailHash(t *testing.T) {
	t.Parallel()
	want := EmailHash("ann@example.com")
	if len(want) != 64 || strings.Contains(want, "ann") {
		t.Fatalf("hash is %q", want)
	}
	for _, same := range []string{"Ann@Example.COM", "  ann@example.com\n"} {
		if got := EmailHash(same); got != want {
			t.Errorf("%q hashes to %s, want %s", same, got, want)
		}
	}
	if EmailHash("ann+shop@example.com") == want {
		t.Error("an address with a tag is taken for the one without: providers differ in what a tag means")
	}
	for _, none := range []string{"", " ", "ann", "@example.com", "ann@"} {
		if got := EmailHash(none); got != "" {
			t.Errorf("%q hashes to %s, want nothing", none, got)
		}
	}
}
