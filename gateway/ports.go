// Package gateway holds the use cases: create, capture, cancel, refund, read,
// resolve, the customer's return, and the one write path for provider truth.
//
// It decides nothing about status (gateway/payment does), speaks no provider's
// language (providers/... do), knows no HTTP and no database. Every change of a
// payment is one compare-and-swap of one document, and only Operations tells a
// provider to do something.
package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Errors a store implementation returns. Anything else it returns is treated
// as ErrUnavailable.
var (
	ErrExists      = errors.New("gateway: exists already")
	ErrNotFound    = errors.New("gateway: not found")
	ErrConflict    = errors.New("gateway: changed by somebody else")
	ErrUnavailable = errors.New("gateway: store unavailable")
	ErrBadCursor   = errors.New("gateway: cursor is not valid")
)

// Filter narrows a list of payments. Zero values do not filter.
type Filter struct {
	App         string
	Mode        payment.Mode
	Status      payment.Status
	Provider    string
	Reference   string
	Customer    string // the app's customer ref, or a stored customer's id
	CreatedFrom time.Time
	CreatedTo   time.Time
	Limit       int
	After       string
}

// Payments is the store of payments. A payment handed in is never kept; one
// handed out is the caller's own.
type Payments interface {
	// Insert stores a new payment with Version 1. ErrExists if the id is taken.
	Insert(ctx context.Context, p *payment.Payment) error
	Get(ctx context.Context, id string) (*payment.Payment, error)
	// Replace stores p if the stored version is p.Version-1, else ErrConflict.
	Replace(ctx context.Context, p *payment.Payment) error
	// List returns newest first and a cursor, empty at the end.
	List(ctx context.Context, f Filter) ([]*payment.Payment, string, error)
	// ByRef finds payments that know one of these ids: a provider object of the
	// account, a refund id or a dispute id. Account is empty for our own ids.
	ByRef(ctx context.Context, account string, refs ...string) ([]*payment.Payment, error)
	// WorkDue lists ids of payments whose WorkAt has come, soonest first.
	WorkDue(ctx context.Context, now time.Time, limit int) ([]string, error)
	// SyncDue lists ids of payments whose NextSyncAt has come, soonest first.
	SyncDue(ctx context.Context, now time.Time, limit int) ([]string, error)
	// SpillHistory keeps history entries that leave the payment document. A
	// repetition is harmless. History reads them back, oldest first.
	SpillHistory(ctx context.Context, id string, entries []payment.HistoryEntry) error
	History(ctx context.Context, id string) ([]payment.HistoryEntry, error)
}

// AlertRecord is an alert as stored: one record an incident.
type AlertRecord struct {
	ID        string
	App       string
	Mode      payment.Mode
	Payment   string
	Dispute   string
	Account   string
	Kind      string
	Severity  string
	State     string // open | acked | snoozed | resolved
	Message   string
	Count     int64
	FirstSeen time.Time
	LastSeen  time.Time
	// SnoozedUntil is when a snoozed alert is due again; zero in other states.
	SnoozedUntil time.Time
	// ResolvedBy says who ended it: "operator", or "gone" when its cause went
	// away by itself; ResolvedAt is when. Empty and zero in other states.
	ResolvedBy string
	ResolvedAt time.Time
	// Reopened counts how often it was opened again, after it was resolved or
	// when a snooze was over, and ReopenedAt is the last time, or when it became
	// critical after somebody had seen to it.
	Reopened   int64
	ReopenedAt time.Time
	// TellAt is when somebody may have to be told of it; zero: nothing is left to
	// tell. Told is who was told what, the newest last, at most MaxTold.
	TellAt time.Time
	Told   []AlertNotice
	// Asked are the latest requests by which people changed it, the newest last, at most maxAsked.
	Asked []AlertRequest `json:",omitempty"`
}

// AlertRequest is a request that changed an alert.
type AlertRequest struct{ ID, Fingerprint string }

// maxAsked bounds AlertRecord.Asked.
const maxAsked = 20

// Take notes a request that changes the alert. first is false for a repetition, which changes nothing; the same key
// with another body is an error.
func (a *AlertRecord) Take(r Request) (first bool, err error) {
	id := r.id("req")
	for _, known := range a.Asked {
		switch {
		case known.ID != id:
		case known.Fingerprint != r.Fingerprint:
			return false, reused()
		default:
			return false, nil
		}
	}
	a.Asked = append(slices.Clone(a.Asked), AlertRequest{ID: id, Fingerprint: r.Fingerprint})
	a.Asked = a.Asked[max(0, len(a.Asked)-maxAsked):]
	return true, nil
}

// MaxTold bounds AlertRecord.Told.
const MaxTold = 40

// AlertNotice is one notice about an alert, as handed to a channel's queue.
type AlertNotice struct {
	// ID is the same for the same notice, whoever writes it down and however
	// often; messages carry it.
	ID      string
	Channel string
	// Reason is new, again (reopened or snooze over), worse, or escalated.
	Reason   string
	Severity string // the alert's at that moment
	Episode  int64  // the alert's Reopened at that moment
	At       time.Time
	// Digest says that it goes out in the channel's next digest.
	Digest bool
}

// OpenedAt is when the alert was opened for the last time.
func (a AlertRecord) OpenedAt() time.Time {
	if a.ReopenedAt.IsZero() {
		return a.FirstSeen
	}
	return a.ReopenedAt
}

// Notify stores alerts durably, and nothing else: telling people is a worker's
// job, so raising never waits for a mail server.
type Notify interface {
	// Raise stores an incident. The same one (same ID) seen again later counts
	// up, and opens again if it was resolved.
	Raise(ctx context.Context, a AlertRecord) error
	// Clear resolves an alert as "gone": its cause went away by itself at this
	// time. One that is not there or is resolved already is left alone, and so is
	// one that was seen again after that time.
	Clear(ctx context.Context, id string, at time.Time) error
}

// Key is an API key as stored: never the key itself.
type Key struct {
	Hash      string // hex SHA-256 of the whole key, which is also its id
	Prefix    string // what may be shown and logged
	App       string
	Mode      payment.Mode
	Operator  bool
	Scopes    []string
	CreatedAt time.Time
	RevokedAt time.Time     // zero: it opens
	RevokedBy payment.Actor // who revoked it
	// Of a key that was made by a request: who asked, the request's id and its words.
	CreatedBy   payment.Actor `json:",omitzero"`
	Request     string        `json:",omitempty"`
	Fingerprint string        `json:",omitempty"`
}

// ID is how a key is named: it tells nothing of the key itself.
func (k Key) ID() string { return "key_" + k.Hash[:min(len(k.Hash), 20)] }

// Keys is the store of API keys.
type Keys interface {
	InsertKey(ctx context.Context, k Key) error // ErrExists is success for the same key
	GetKey(ctx context.Context, hash string) (Key, error)
	// ListKeys reads all keys, in no order.
	ListKeys(ctx context.Context) ([]Key, error)
	// RevokeKey marks a key as revoked; one that is already stays as it was.
	RevokeKey(ctx context.Context, hash string, by payment.Actor, at time.Time) (Key, error)
}

// App is one product app.
type App struct {
	Name          string
	Mode          payment.Mode
	ReturnOrigins []string
	Disputes      DisputePolicy
}

// Caller is who asks: one app in one mode, or an operator.
type Caller struct {
	App      string
	Mode     payment.Mode
	KeyID    string
	Operator bool
	Scopes   []string
	Risk     string // id of the decision that acts, for the risk worker only
}

// Actor is the caller in histories.
func (c Caller) Actor() payment.Actor {
	if c.Risk != "" {
		return payment.Actor{Type: payment.ActorRisk, ID: c.Risk}
	}
	if c.Operator {
		return payment.Actor{Type: payment.ActorOperator, ID: c.KeyID}
	}
	return payment.Actor{Type: "api_key", ID: c.KeyID}
}

// Answer is what a use case brought: the payment as it is now, and how to say
// it.
type Answer struct {
	Payment  *payment.Payment
	Unknown  bool   // the outcome is not known yet: 202
	Replayed bool   // this was a repetition
	Refund   string // the refund's id, where one was asked for
}
