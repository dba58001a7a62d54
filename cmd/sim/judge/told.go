package judge

import (
	"slices"
	"strings"
)

// What an app was told, by answers and events, against what happened.

// failed: I5, what an app was told to have failed, by an answer or an event, stays so:
// nothing more is told of it, and no money moves for it, then or later. Whoever heard
// that it failed has asked for it again under another key.
func (j *Judge) failed(o *Order, p Payment, told []Event) {
	over := map[string]bool{}
	for _, id := range o.Refused {
		over[id] = true
	}
	ended := map[string]bool{}
	for _, e := range told {
		id := e.Data.Object.ID
		if kind, what, _ := strings.Cut(e.Type, "."); kind == "refund" {
			if ended[id] {
				j.fail("I5 refund %s of %s was told as failed, then as %s", id, p.ID, what)
			}
			ended[id] = ended[id] || what == "failed"
			over[id] = over[id] || what == "failed"
		}
	}
	b := j.book(p.ID)
	for _, r := range p.Refunds {
		_, moved := b.refunds[r.ProviderRef]
		if over[r.ID] && (r.Status == "succeeded" || moved && !b.returned[r.ProviderRef]) {
			j.fail("I5 refund %s of %s was told as failed and took effect (%s)", r.ID, p.ID, r.Status)
		}
	}
}

func heard(told []Event, kind, id string) bool {
	return slices.ContainsFunc(told, func(e Event) bool { return e.Type == kind && e.Data.Object.ID == id })
}

// reads: I12, whatever the app was told at a version is what the history says
// of that version.
func (j *Judge) reads(o *Order, entries []Entry) {
	for _, r := range o.reads {
		said := ""
		for _, h := range entries {
			if h.Version <= r.version {
				said = h.After.Status
			}
		}
		if said != r.status {
			j.fail("I12 %s was read as %s in version %d, its history says %q", o.ID, r.status, r.version, said)
		}
	}
}

// history: I12, it is a path in the graph that ends where the payment is, and
// names who did it; I9, each change of status stands in the feed once,
// in order, with that status in it.
func (j *Judge) history(o *Order, p Payment, entries []Entry, told []Event) {
	var want, have []string
	for i, h := range entries {
		if i > 0 && entries[i-1].After.Status != h.Before.Status || i > 0 && entries[i-1].Version >= h.Version {
			j.fail("I12 %s: history jumps from %s to %s", p.ID, entries[i-1].After.Status, h.Before.Status)
		}
		if i > 0 && !mayFollow(h.Before.Status, h.After.Status) {
			j.fail("I12 %s went from %s to %s", p.ID, h.Before.Status, h.After.Status)
		}
		if h.Actor.Type == "" || h.Layer == "" {
			j.fail("I12 %s: nobody is named for version %d", p.ID, h.Version)
		}
		if i == 0 && h.After.Status != "processing" || i > 0 && h.Before.Status != h.After.Status {
			want = append(want, h.After.Status)
		}
	}
	if n := len(entries); n == 0 || entries[n-1].After.Status != p.Status {
		j.fail("I12 %s: history does not end with %s", p.ID, p.Status)
	}
	for _, e := range told {
		if kind, status, _ := strings.Cut(e.Type, "."); kind == "payment" && status != "captured" {
			have = append(have, status)
			if e.Data.Object.Status != status {
				j.fail("I9 event %s of %s shows the payment as %s", e.Type, p.ID, e.Data.Object.Status)
			}
		}
	}
	if n := len(want); n > 0 && (!o.Told || j.Restored) && want[n-1] == "expired" && n == len(have)+1 {
		want = want[:n-1] // a creation that was never answered: its end is not told
	}
	if !slices.Equal(want, have) {
		j.fail("I9 %s: the feed tells %v, history %v", p.ID, have, want)
	}
}
