package alerts_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
)

// Guards that one of a channel's people who can't be reached is no trouble of the channel: the others have the message,
// and get it once.
func TestPartlySent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alerts.Rules{Routes: []alerts.Route{{Channels: []string{"mail"}, Failover: []string{"slack"}}}}, "mail", "slack")
	tries := 0
	w.channels["mail"].fail = func(alerts.Message) error {
		tries++
		return alerts.Partial{Missed: 1, Of: 3, Cause: errors.New("550")}
	}
	for i := range 3 {
		w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
	}
	w.pass(2 * time.Hour)
	if b, err := w.alerts.Box(t.Context(), "mail"); err != nil || len(b.Items) != 0 || b.Failures != 0 || tries != 3 {
		t.Errorf("%v, %d tries: %+v", err, tries, b)
	}
	w.want("slack")
}
