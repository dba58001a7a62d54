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

func weight(it Item) int64 {
	if it.Digest != nil {
		return it.Digest.count()
	}
	return 1
}
