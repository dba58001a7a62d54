package config

import (
	"slices"
	"testing"
)

// Guards that a misspelt variable is told, and what an orchestrator or another tool sets is not.
func TestStrange(t *testing.T) {
	t.Parallel()
	got := Strange([]string{
		"HOME=/", "TRIFECTA_STORE=x", "TRIFECTA_STOER=x", "TRIFECTA_HTTP_ADDR=:1", "TRIFECTA_HTTP_ADRESS=:1", "TRIFECTA_ALERTS_TYPO=1",
		"TRIFECTA_LAYERS_RETURN=true", "TRIFECTA_ACCOUNTS_0_NAME=a", "TRIFECTA_OPERATOR_KEY=k", "TRIFECTA_EMPTY=",
		"TRIFECTA_SERVICE_HOST=10.0.0.1", "TRIFECTA_SERVICE_PORT=80", "TRIFECTA_SERVICE_PORT_HTTP=80", "TRIFECTA_PORT=tcp://10.0.0.1:80", "TRIFECTA_PORT_80_TCP_ADDR=10.0.0.1",
		"TRIFECTA_ALLOW_SQLITE_LIVE=true", "TRIFECTA_ALLOW_SQLITE=true",
	}, "TRIFECTA_OPERATOR_KEY")
	want := []string{"TRIFECTA_ALERTS_TYPO", "TRIFECTA_ALLOW_SQLITE", "TRIFECTA_EMPTY", "TRIFECTA_HTTP_ADRESS", "TRIFECTA_STOER"}
	if !slices.Equal(got, want) {
		t.Errorf("strange: %v, want %v", got, want)
	}
	if got := Strange([]string{"TRIFECTA_PORT=1"}); !slices.Equal(got, []string{"TRIFECTA_PORT"}) {
		t.Errorf("a port of no service: %v", got)
	}
}
