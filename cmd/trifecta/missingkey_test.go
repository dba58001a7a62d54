package main

import (
	"encoding/base64"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/doctor"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/sqlite"
)

// Promise: doctor fails on a configuration without the key that records are sealed under, names the key, and writes nothing
// of its own about it; with the key it says that none is missing.
func TestDoctorMissesAKey(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.healthy()
	key := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	without := "apps:\n"
	with := "encryption:\n  keys: [{id: first, key: \"" + key + "\"}]\n  active: first\napps:\n"
	c.change(without, with)
	c.must("apikey", "list", "--config", c.file) // whatever opens the store notes the key
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(c.dir, "shop.db"), Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	part := store.Doc{ID: "e/1", Body: []byte(`{"schema":1,"part":{"sealed":["v1","first.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]}}`)}
	if err := e.Insert(t.Context(), "inbox_bodies", part); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	found := func(mark doctor.Mark, says string) {
		t.Helper()
		if _, r := c.examine(); !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool {
			return f.Check == "store.keys" && f.Mark == mark && strings.Contains(f.What, says)
		}) {
			t.Errorf("no finding store.keys that is %s and says %q: %+v", mark, says, r.Findings)
		}
	}
	found(doctor.OK, "no key is missing")
	c.change(with, without)
	found(doctor.Fail, "the key first is not configured")
	if code, _, errOut := c.run("apikey", "list", "--config", c.file); code == 0 || !strings.Contains(errOut, "the key first is not configured") {
		t.Errorf("the store was opened without the key: exit code %d, %s", code, errOut)
	}
}
