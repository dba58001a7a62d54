package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Guards whoever is woken by a deadline that has passed: an inquiry that nobody answered is not lost, a chargeback is.
func TestWhatSilenceComesTo(t *testing.T) {
	t.Parallel()
	for stage, lost := range map[string]bool{payment.StageInquiry: false, "chargeback": true, "pre_arbitration": true} {
		d := payment.Dispute{Stage: stage, Reason: "fraudulent", DueBy: time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)}
		past, before := dueMessage(d, true), dueMessage(d, false)
		if strings.Contains(past, "lost") != lost || strings.Contains(before, "lost") || !strings.Contains(past, "2026-03-09T12:00:00Z") || !strings.Contains(before, "2026-03-09T12:00:00Z") {
			t.Errorf("%s: %q, before %q", stage, past, before)
		}
	}
}
