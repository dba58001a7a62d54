package httpapi

import (
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// FuzzBodies: every request body is bound or refused as malformed or invalid, whoever
// reads it; never a panic, and never another kind of answer.
func FuzzBodies(f *testing.F) {
	readers := map[string]func([]byte) error{
		"capture":  func(b []byte) error { _, err := bindCapture(b); return err },
		"refund":   func(b []byte) error { _, err := bindRefund(b); return err },
		"resolve":  func(b []byte) error { _, err := bindResolve(b); return err },
		"snooze":   func(b []byte) error { _, err := bindSnooze(b); return err },
		"nothing":  bindNothing,
		"run":      func(b []byte) error { _, err := bindRun(b); return err },
		"block":    func(b []byte) error { _, err := bindBlock(b); return err },
		"judge":    func(b []byte) error { _, err := bindJudge(b); return err },
		"dry run":  func(b []byte) error { _, err := bindDryRun(b); return err },
		"settings": func(b []byte) error { _, err := bindSettings(b, []string{`"1"`}); return err },
		"evidence": func(b []byte) error { _, err := bindEvidence(b); return err },
		"erasure":  func(b []byte) error { _, err := bindErasure(b); return err },
	}
	for _, seed := range []string{
		``, `{}`, `{"amount":5,"final":true}`, `{"amount":5,"reason":"other"}`, `{"action":"accept","captures":["c"],"reason":"r"}`, `{"seconds":60}`,
		`{"job":"sweep","account":"a","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`, `{"app":"shop","kind":"email","value":"a@b.c","reason":"r","cancel":true}`,
		`{"days":30,"app":"shop","rules":[{"rule":"x","threshold":5}]}`, `{"shipping":{"carrier":"x"},"files":[{"name":"a.pdf","content":"aGk="}],"submit":true}`,
		`{"shipping":5,"files":{"a":null}}`, `{"files":[null,{"content":"!!"}]}`, `{"customer":"ref","reason":"r","texts":["x"]}`, `{"paused":{"accounts":["a"]},"reason":"r"}`,
		`null`, `[]`, `{"amount":-0}`, `{"amount":1e3}`, `{"captures":{}}`, `{"from":"9999-12-31T23:59:59-01:00"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for name, read := range readers {
			if err := read(raw); err != nil && payment.CodeOf(err) != payment.CodeMalformed && payment.CodeOf(err) != payment.CodeInvalid {
				t.Fatalf("%s: %q: %v", name, raw, err)
			}
		}
	})
}
