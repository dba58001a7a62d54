package alerts

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Guards a channel that refuses everything for longer than a week, during a flood of all kinds: its queue stays small
// enough to be stored (1 MiB), what is counted in it stays, and what stands in is told of each once.
func TestRefusingChannelKeepsItsQueueSmall(t *testing.T) {
	t.Parallel()
	for _, failover := range [][]string{nil, {"slack"}} {
		now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
		rules := Rules{}.withDefaults()
		main, other := Box{Channel: "mail"}, Box{Channel: "slack"}
		var taken, gone, largest int64
		refused := Failure{Permanent: true, Cause: errors.New("552 too large")}
		for round := range 400 { // of half an hour
			perKind := 2
			if round > 380 {
				perKind = maxSamples + 1
			}
			for i := range 70 * perKind {
				taken++
				id := payment.DeriveID("ntc", fmt.Sprint(taken))
				main.Take(Notice{
					ID: id, Alert: payment.DeriveID("inc", id), Kind: fmt.Sprintf("a_kind_with_a_long_name_%d", i%70), Severity: []string{Info, Warning, Critical}[i%3], Failover: failover, At: now,
				}, rules, now)
			}
			for ok := true; ok; {
				var ids []string
				for _, it := range main.Handover(now) {
					ids = append(ids, it.ID)
					other.standIn("mail", it, rules, now)
				}
				main.HandedOver(ids)
				var it Item
				if it, ok = main.Claim("o", now); ok && main.Failed("o", it.ID, refused, now) {
					gone += weight(it)
				}
			}
			body, err := json.Marshal(main)
			if err != nil {
				t.Fatal(err)
			}
			largest = max(largest, int64(len(body)))
			now = now.Add(rules.DigestEvery)
		}
		left := main.Digest.count() + main.Kept.count()
		for _, it := range main.Items {
			left += weight(it)
		}
		if largest > 900<<10 || gone+left != taken {
			t.Errorf("failover %v: %d bytes; took %d, gave up %d, %d left", failover, largest, taken, gone, left)
		}
		told := other.Digest.count()
		for _, it := range other.Items {
			told += weight(it)
		}
		if failover != nil && (told > taken || told < taken*9/10) {
			t.Errorf("%d taken, who stands in has %d", taken, told)
		}
	}
}

// Guards digests that some of a channel's people can't get for days: they are merged, so that the queue can be stored, and
// who had all that is in one is not told of it again.
func TestDigestsThatSomeLackAreMerged(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	rules := Rules{}.withDefaults()
	b := Box{Channel: "mail"}
	var done []string
	for i := range 200 {
		done = append(done, fmt.Sprintf("mark-of-12-%d", i))
	}
	var told int64
	for round := range 60 {
		for i := range 70 * maxSamples {
			id := payment.DeriveID("ntc", fmt.Sprint(round, "/", i))
			b.Take(Notice{ID: id, Alert: payment.DeriveID("inc", id), Kind: fmt.Sprintf("a_kind_with_a_long_name_%d", i%70), Severity: Warning, Failover: []string{"slack"}, At: now, Hold: true}, rules, now)
		}
		for {
			it, ok := b.Claim("o", now)
			if !ok {
				break
			}
			if len(it.Done) == 0 {
				told += weight(it)
				b.Partly("o", it.ID, Partial{Later: 1, Of: 201, Done: done}, now)
			} else {
				b.Failed("o", it.ID, Failure{Permanent: true, Cause: errors.New("452")}, now)
			}
			if given := b.Handover(now); len(given) > 0 {
				t.Fatalf("others stand in with %d messages", len(given))
			}
		}
		now = now.Add(rules.DigestEvery)
	}
	body, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > 900<<10 || b.waiting() > 2*maxDigests || b.Digest.count() > 70*maxSamples {
		t.Errorf("%d bytes, %d digests, %d not in one yet", len(body), b.waiting(), b.Digest.count())
	}
	if want := int64(60*70*maxSamples) - b.Digest.count(); told != want {
		t.Errorf("who has them was told of %d of %d", told, want)
	}
}

// Guards fresh alerts behind a server that hangs over each repetition: what nobody has yet is offered first, before what
// some have and what may have been taken; these still come, once nothing newer is due.
func TestNewsComesBeforeRepetitions(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	b := Box{Channel: "mail"}
	raise := func(id string) {
		b.Take(Notice{ID: id, Alert: "inc_" + id, Kind: "late_money", Severity: Critical, At: now}, Rules{Burst: 10}, now)
	}
	claim := func(want string) {
		t.Helper()
		if it, _ := b.Claim("o", now); it.ID != want {
			t.Fatalf("%q is offered, not %q", it.ID, want)
		}
	}
	part := Partial{Later: 1, Of: 2, Done: []string{"a"}, Cause: errors.New("no answer")}
	raise("partly")
	claim("partly")
	b.Partly("o", "partly", part, now)
	raise("unknown")
	claim("unknown")
	b.Failed("o", "unknown", Failure{Unknown: true, Cause: errors.New("no answer")}, now)
	now = now.Add(time.Hour)
	raise("fresh_1")
	raise("fresh_2")
	claim("fresh_1")
	b.Sent("o", "fresh_1")
	claim("fresh_2")
	b.Sent("o", "fresh_2")
	claim("partly")
	b.Partly("o", "partly", part, now)
	claim("unknown")
}

func weight(it Item) int64 {
	if it.Digest != nil {
		return it.Digest.count()
	}
	return 1
}
