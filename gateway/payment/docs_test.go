package payment

import (
	"os"
	"testing"
)

const stateMachinePage = "../../docs/state-machine.md"

// Guards that docs/state-machine.md is what the code does: it is printed from
// the table. With TRIFECTA_WRITE_DOCS=1 (make docs) the test writes it.
func TestDocsStateMachine(t *testing.T) {
	t.Parallel()
	want := StateMachineDoc()
	if os.Getenv("TRIFECTA_WRITE_DOCS") == "1" {
		if err := os.WriteFile(stateMachinePage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(stateMachinePage)
	if err != nil {
		t.Fatalf("%v (make docs writes it)", err)
	}
	if string(got) != want {
		wantDiff(t, "docs/state-machine.md is out of date, run make docs", string(got), want)
	}
}
