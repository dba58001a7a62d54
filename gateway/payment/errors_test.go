package payment

import (
	"errors"
	"strings"
	"testing"
)

// Guards I1 and I4 of the security list: of a panic only what can't hold a secret is
// written down.
func TestPanicText(t *testing.T) {
	t.Parallel()
	caught := func(fn func()) (v any) {
		defer func() { v = recover() }()
		fn()
		return nil
	}
	if got := PanicText(caught(func() { _ = captureStates[len(refundStates)] })); !strings.Contains(got, "index out of range") {
		t.Errorf("of the runtime's: %q", got)
	}
	for _, v := range []any{"secret", errors.New("secret"), NewError(CodeInternal, "secret"), struct{ Key string }{"secret"}} {
		if got := PanicText(v); got == "" || strings.Contains(got, "secret") {
			t.Errorf("of %T: %q", v, got)
		}
	}
}
