package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/sqlite"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// Promise: whoever replays webhooks hears what became of them. Where all fail again the command fails too, and says why,
// though each was worked on.
func TestReplayTellsWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.healthy()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(c.dir, "shop.db"), Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, key := range []string{"evt_1", "evt_2"} {
		r := inbox.Record{
			ID: inbox.RecordID("stripe", "stripe-eu", false, key), Provider: "stripe", Account: "stripe-eu", State: inbox.Dead, Reason: "internal",
			Event:  providers.Event{Key: key, Type: "charge.refunded", Object: providers.Ref{Kind: "charge", ID: "ch_" + key}},
			Digest: strings.Repeat("d", 64), ReceivedAt: time.Now().Add(-time.Hour),
		}
		if _, _, err := store.NewInbox(e).Insert(t.Context(), r, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	c.meddle = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","message":"no such key"}}`))
		return true
	}
	code, out, errOut := c.run("webhooks", "replay", "--config", c.file, "--state", "dead")
	if code != 1 || !strings.Contains(out, "2 queued again: 0 done, 2 pending, 0 parked, 0 dead") || !strings.Contains(errOut, "2 are not done: 2 × ") || !strings.Contains(errOut, "misconfigured") {
		t.Errorf("all failed again: exit code %d\n%s%s", code, out, errOut)
	}
	code, out, _ = c.run("webhooks", "replay", "--config", c.file, "--id", ids[0])
	if code != 1 || !strings.Contains(out, "1 queued again: 0 done, 1 pending") {
		t.Errorf("one failed again: exit code %d\n%s", code, out)
	}
	if out := c.must("webhooks", "replay", "--config", c.file, "--state", "dead"); !strings.Contains(out, "0 queued again") {
		t.Errorf("with nothing to replay: %s", out)
	}
	o := outcomes{states: map[inbox.State]int{}, reasons: map[string]int{}}
	for _, s := range []inbox.State{inbox.Done, inbox.Irrelevant} {
		o.add(inbox.Record{State: s, Reason: "orphan_dispute"})
	}
	if err := o.err(); err != nil {
		t.Errorf("all are done: %v", err)
	}
}
