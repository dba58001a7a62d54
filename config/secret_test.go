package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const canary = "sk_live_CANARY0123456789"

// Promise: a secret prints as [redacted] whichever way it is printed, alone, in
// exported and unexported fields, in lists, maps, pointers and errors.
func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	s := NewSecret(canary)
	values := map[string]any{
		"alone":      s,
		"pointer":    &s,
		"exported":   struct{ S Secret }{s},
		"unexported": struct{ s Secret }{s},
		"list":       []Secret{s},
		"map":        map[string]Secret{"k": s},
		"config":     Config{Store: s, Accounts: []Account{{SecretKey: s, WebhookSecrets: []Secret{s}, ClientSecret: s}}},
		"error":      fmt.Errorf("wrapped: %v: %w", s, errors.New(fmt.Sprint(s))),
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %p %v"} {
			noLeak(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		if b, err := json.Marshal(v); err == nil {
			noLeak(t, name+" json", string(b))
		}
		if b, err := yaml.Marshal(v); err == nil {
			noLeak(t, name+" yaml", string(b))
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		noLeak(t, name+" slog", out.String())
	}
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf("%#v", s), fmt.Sprintf("%x", s), s.LogValue().String(), fmt.Sprint(Secret{})} {
		if got != Redacted {
			t.Errorf("printed %q", got)
		}
	}
	if b, err := json.Marshal(s); err != nil || string(b) != `"[redacted]"` {
		t.Errorf("JSON %s, %v", b, err)
	}
	typ, b, err := s.MarshalBSONValue()
	if err != nil || typ != 2 || string(b) != "\x0b\x00\x00\x00[redacted]\x00" {
		t.Errorf("BSON %d %q, %v", typ, b, err)
	}
}

func noLeak(t *testing.T, how, printed string) {
	t.Helper()
	hexed := fmt.Sprintf("%x", canary)
	if strings.Contains(printed, canary) || strings.Contains(strings.ToLower(printed), hexed) {
		t.Errorf("%s leaks: %s", how, printed)
	}
}

// Promise: secrets can't be compared with == (it does not compile), only in
// constant time.
func TestSecretCompare(t *testing.T) {
	t.Parallel()
	if reflect.TypeFor[Secret]().Comparable() {
		t.Error("Secret can be compared with ==")
	}
	if !NewSecret("a").Equal(NewSecret("a")) || NewSecret("a").Equal(NewSecret("b")) || NewSecret("a").Equal(Secret{}) {
		t.Error("Equal is wrong")
	}
	if !(Secret{}).IsZero() || !NewSecret("").IsZero() || NewSecret("x").IsZero() {
		t.Error("IsZero is wrong")
	}
	if (Secret{}).Reveal() != "" || NewSecret("x").Reveal() != "x" {
		t.Error("Reveal is wrong")
	}
}
