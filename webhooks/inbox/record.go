package inbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// State is how far an event got. "Seen" is not "done".
type State string

// The states. All but Pending are final, until somebody replays the event.
const (
	Pending    State = "pending"    // waiting for a worker, or in one's hands
	Done       State = "done"       // the object's payment was read after the event came
	Irrelevant State = "irrelevant" // a type that we keep and count but do not act on
	Parked     State = "parked"     // not acted upon; Reason says why, a human was told
	Dead       State = "dead"       // given up after too many tries, a human was told
)

// States lists all states.
func States() []State { return []State{Pending, Done, Irrelevant, Parked, Dead} }

// Why an event is parked.
const (
	ReasonMode      = "other_mode"                // a test event at a live account, or the other way round
	ReasonConnected = "unknown_connected_account" // about a connected account that is not ours
	ReasonVersion   = "other_api_version"         // rendered in another API version than the endpoint was made with
	ReasonAmbiguous = "ambiguous_json"            // signed, but its JSON can be read in two ways
	ReasonUnknown   = "unknown_object"            // an orphan: no payment of ours holds the object
)

// ReasonUnreadable stands in lists, and is never stored: the record itself can't be read.
const ReasonUnreadable = "unreadable_record"

// Write names a kind of write to the store; crash tests stop before and after
// each.
type Write string

// The writes.
const (
	WriteWake    Write = "wake"
	WriteClaim   Write = "claim"
	WriteSettle  Write = "settle"
	WriteTold    Write = "told"
	WriteReplay  Write = "replay"
	WriteVariant Write = "variant"
)

// Record is one event as stored. What is zero is not written.
type Record struct {
	ID         string // see RecordID
	Provider   string
	Account    string
	Connect    bool `json:",omitzero"` // came in through the Connect endpoint
	Event      providers.Event
	Digest     string // hex SHA-256 of the raw body
	Size       int64  // bytes of the raw body
	ReceivedAt time.Time

	State  State
	Reason string `json:",omitzero"` // why parked or dead, or what went wrong last
	// DueAt is when a worker looks at it next. In a final state: a human has yet to
	// be told. Zero: never.
	DueAt       time.Time `json:",omitzero"`
	Tries       int       `json:",omitzero"`
	Woken       bool      `json:",omitzero"` // delivered again while in a worker's hands
	Traced      bool      `json:",omitzero"` // Hint holds what the provider said about the object, not only what the body said
	FirstMissed time.Time `json:",omitzero"` // when the object was first found to belong to nobody

	// The lease. Gen grows with every claim: what a former holder writes is refused.
	Owner      string    `json:",omitzero"`
	LeaseUntil time.Time `json:",omitzero"`
	Gen        int64     `json:",omitzero"`

	// Variants are the digests of other bodies that came under this key and named
	// other objects; each has a record of its own, whose Base is this one's id.
	Variants []string `json:",omitzero"`
	Base     string   `json:",omitzero"`

	Payment string    `json:",omitzero"` // the payment concerned, once known
	DoneAt  time.Time `json:",omitzero"`
	Replays int       `json:",omitzero"` // how often somebody queued it again
}

// RecordID is the unique key of an event: one account's endpoint and the event's
// key. The parts' lengths are part of it, so that no two spellings meet.
func RecordID(provider, account string, connect bool, key string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%d:%s%t:%d:%s", len(provider), provider, len(account), account, connect, len(key), key))
	return "in_" + hex.EncodeToString(sum[:20])
}

// held says whether a worker holds the event.
func (r Record) held(now time.Time) bool { return r.Owner != "" && now.Before(r.LeaseUntil) }

// woken is the event after another delivery: due at once unless it is done.
func (r Record) woken(now time.Time) (Record, bool) {
	switch r.State {
	case Pending:
		if r.held(now) {
			changed := !r.Woken
			r.Woken = true
			return r, changed
		}
		if !r.DueAt.After(now) {
			return r, false
		}
		r.DueAt = now
		return r, true
	case Dead:
		return r.restarted(now), true
	case Done, Irrelevant, Parked:
	}
	return r, false
}

// restarted is the event as if it had just come in.
func (r Record) restarted(now time.Time) Record {
	r.State, r.Reason, r.DueAt, r.DoneAt = Pending, "", now, time.Time{}
	r.Tries, r.Woken, r.Traced, r.FirstMissed = 0, false, false, time.Time{}
	r.Replays++
	return r.released()
}

// claimed is the event in a worker's hands. The try is counted here, so that an
// event that kills the process is given up too.
func (r Record) claimed(owner string, lease time.Duration, now time.Time) (Record, bool) {
	if r.State != Pending || r.DueAt.After(now) || r.held(now) {
		return r, false
	}
	r.Gen++
	r.Owner, r.LeaseUntil = owner, now.Add(lease)
	r.DueAt = r.LeaseUntil
	r.Tries++
	r.Woken = false
	return r, true
}

// released ends the lease.
func (r Record) released() Record {
	r.Owner, r.LeaseUntil = "", time.Time{}
	return r
}

// final puts the event into a final state; told says that no human need hear.
func (r Record) final(s State, reason string, told bool, now time.Time) Record {
	r = r.released()
	r.State, r.Reason, r.DoneAt, r.DueAt = s, reason, now, now
	if told {
		r.DueAt = time.Time{}
	}
	return r
}

// retried puts the event back for later, or gives it up.
func (r Record) retried(reason string, wait time.Duration, maxTries int, now time.Time) Record {
	if r.Tries >= maxTries {
		return r.final(Dead, reason, false, now)
	}
	r = r.released()
	r.Reason, r.DueAt = reason, now.Add(max(wait, Backoff(r.Tries)))
	if r.Woken {
		r.DueAt, r.Woken = now, false
	}
	return r
}

// Backoff is how long to wait after the given number of tries. Twelve tries
// outlast the 72 hours that a provider may be down.
func Backoff(tries int) time.Duration {
	steps := []time.Duration{
		2 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour,
		6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 30 * time.Hour,
	}
	return steps[min(max(tries, 1), len(steps))-1]
}

// Limits of what is kept of a parsed event: a body under a captured PayPal
// signature may say anything.
const (
	maxText     = 255
	maxRefs     = 16
	maxVariants = 8 // bodies under one key
)

// bounded cuts what is only shown, and says whether the ids are of a size that a
// provider gives out.
func bounded(e providers.Event) (providers.Event, bool) {
	e.Type, e.ID, e.Version = cut(e.Type), cut(e.ID), cut(e.Version)
	fits := len(e.Key) <= maxText && len(e.Account) <= maxText && len(e.Object.Kind) <= maxText && len(e.Object.ID) <= maxText
	e.Account, e.Object.Kind, e.Object.ID = cut(e.Account), cut(e.Object.Kind), cut(e.Object.ID)
	e.Hint = boundedHint(e.Hint)
	return e, fits
}

func boundedHint(h providers.Hint) providers.Hint {
	if len(h.PaymentID) > maxText {
		h.PaymentID, h.N = "", 0
	}
	var refs []string
	for _, id := range h.Refs {
		if id != "" && len(id) <= maxText && len(refs) < maxRefs {
			refs = append(refs, id)
		}
	}
	h.Refs = refs
	return h
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for end > 0 && s[end]&0xc0 == 0x80 { // not inside a character
		end--
	}
	return s[:end]
}

// source is how changes that follow from the event are credited.
func (r Record) source() payment.Source {
	return payment.Source{Layer: payment.LayerWebhook, Actor: payment.Actor{Type: "webhook", ID: r.Event.ID}, Reason: r.Event.Type}
}
