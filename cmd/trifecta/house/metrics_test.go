package house

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
)

// Guards that whoever reads the metrics, or the runbook, finds there each result that a message to people can have.
func TestAlertResultsAreExplained(t *testing.T) {
	t.Parallel()
	m := newMetrics(nil)
	for _, result := range alerts.Results() {
		m.alertSent("ops", result)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	help := ""
	for _, f := range families {
		if f.GetName() == "trifecta_alert_messages_total" {
			help = f.GetHelp()
		}
	}
	runbook, err := os.ReadFile("../../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(runbook), "| `trifecta_alert_messages_total` |")
	row, _, _ = strings.Cut(row, "\n")
	for _, result := range []string{"sent", "partly", "failed", "gave_up", "refused"} {
		if !strings.Contains(help, result) || !strings.Contains(row, fmt.Sprintf("`%s`", result)) {
			t.Errorf("%s is not explained: %s; %s", result, help, row)
		}
	}
	if len(alerts.Results()) != 5 {
		t.Errorf("results %v", alerts.Results())
	}
}
