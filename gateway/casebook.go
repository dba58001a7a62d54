package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// DisputeRecord is one dispute as it is listed, with its history. For a dispute of
// a payment of ours the payment is the truth and this its projection; for one that
// no payment explains (an orphan) it is all there is.
type DisputeRecord struct {
	ID       string // payment.DisputeID
	App      string // empty for an orphan, like Payment
	Mode     payment.Mode
	Payment  string
	Version  int64 // of the payment it was written from, 0 for an orphan
	Dispute  payment.Dispute
	Fees     []payment.Money
	Evidence string // id of the evidence that stands, empty if none
	History  []payment.CaseEntry
	// OpenedAt is provider time; the rest is ours.
	OpenedAt  time.Time
	UpdatedAt time.Time
	ClosedAt  time.Time // zero while undecided
	// Told are the deadline alerts that were raised, each an alert's id, and Policed
	// the stages in which the app's policy was applied.
	Told    []string
	Policed []string
	CheckAt time.Time // when a worker looks at it next, zero: never
}

// Orphan says that no payment of ours explains it.
func (r DisputeRecord) Orphan() bool { return r.Payment == "" }

// maxCaseHistory bounds the lines of history one record keeps: the first ones stay,
// of the later ones the newest.
const maxCaseHistory = 200

// DisputeFilter narrows a list of disputes. Zero values do not filter.
type DisputeFilter struct {
	App         string // with Mode; empty: of all apps, orphans too
	Mode        payment.Mode
	Status      payment.DisputeStatus
	Provider    string
	Payment     string
	CreatedFrom time.Time // by OpenedAt
	CreatedTo   time.Time
	DueBefore   time.Time // only those with a date to answer by
	Limit       int
	After       string
}

// Disputes is the store of dispute records, of evidence and of its files.
type Disputes interface {
	GetDispute(ctx context.Context, id string) (DisputeRecord, error)
	// ChangeDispute writes one record by compare-and-swap. fn gets the stored record,
	// or the zero one with found false, and says whether to write what it returns; it
	// may run more than once.
	ChangeDispute(ctx context.Context, id string, fn func(r DisputeRecord, found bool) (DisputeRecord, bool)) (DisputeRecord, error)
	// ListDisputes returns newest first and a cursor, empty at the end.
	ListDisputes(ctx context.Context, f DisputeFilter) ([]DisputeRecord, string, error)
	// DisputesDue lists ids of records whose CheckAt has come, soonest first.
	DisputesDue(ctx context.Context, now time.Time, limit int) ([]string, error)
	// PutEvidence and PutFile store what never changes, but for what is erased of it: the id is
	// made of the content.
	PutEvidence(ctx context.Context, e Evidence) error
	GetEvidence(ctx context.Context, id string) (Evidence, error)
	PutFile(ctx context.Context, id string, data []byte) error
	GetFile(ctx context.Context, id string) ([]byte, error)
}

// relayCases writes the history lines that travel inside a payment into the records
// of its disputes. Should that fail they stay inside, and a worker tries again.
func (s *Service) relayCases(ctx context.Context, p *payment.Payment) *payment.Payment {
	if len(p.Cases) == 0 {
		return p
	}
	written := map[string]bool{}
	for _, d := range p.Facts.Disputes {
		var lines []payment.CaseEntry
		for _, c := range p.Cases {
			if c.Dispute == payment.DisputeID(d.Key) {
				lines = append(lines, c)
				written[c.ID] = true
			}
		}
		if len(lines) == 0 {
			continue
		}
		if err := s.project(ctx, p, d, lines); err != nil {
			s.log.ErrorContext(ctx, "dispute record not written, will be tried again", "payment", p.ID, "dispute", payment.DisputeID(d.Key), "error", err)
			return p
		}
	}
	out := p
	err := s.adjust(ctx, p.ID, func(c *payment.Payment) bool {
		out = c
		return c.DropCases(written)
	})
	if err != nil { // written twice is harmless: each line has its id
		s.log.InfoContext(ctx, "dispute history stays in the payment for now", "payment", p.ID, "error", err)
		return p
	}
	return out
}

// project writes one dispute of a payment into its record. Versions of the payment
// may arrive in any order: the facts merge, history lines are a set, and what is
// read off the payment is taken from its newest version.
func (s *Service) project(ctx context.Context, p *payment.Payment, d payment.Dispute, lines []payment.CaseEntry) error {
	now := s.now()
	attached := false
	_, err := s.opts.Disputes.ChangeDispute(ctx, payment.DisputeID(d.Key), func(r DisputeRecord, found bool) (DisputeRecord, bool) {
		attached = found && r.Orphan()
		if attached {
			lines = append([]payment.CaseEntry{attachedLine(p, d, now)}, lines...)
		}
		r.ID, r.App, r.Mode, r.Payment = payment.DisputeID(d.Key), p.App, p.Mode, p.ID
		if p.Version >= r.Version {
			r.Version, r.Fees, r.Evidence = p.Version, p.DisputeFees(d), p.Evidence(d)
		}
		return r.seen(d, lines, now), true
	})
	if err != nil {
		return storeError(err)
	}
	if attached {
		if err := s.opts.Notify.Clear(ctx, orphanDisputeAlert(d.Key), now); err != nil {
			return storeError(err)
		}
	}
	return nil
}

func attachedLine(p *payment.Payment, d payment.Dispute, now time.Time) payment.CaseEntry {
	return payment.CaseEntry{
		ID: payment.DeriveID("cas", p.ID, payment.DisputeID(d.Key), "attached"), Dispute: payment.DisputeID(d.Key), At: now, What: "attached",
		By: payment.Actor{Type: "worker", ID: "disputes"}, Layer: payment.LayerAPI, Reason: "its payment became known",
		Status: d.Status, Stage: d.Stage, Amount: d.Amount, Withheld: d.Withheld,
	}
}

// seen adds a sighting and history lines to a record, and says when to look at it
// next.
func (r DisputeRecord) seen(d payment.Dispute, lines []payment.CaseEntry, now time.Time) DisputeRecord {
	known := r.Dispute
	r.Dispute = d
	if known.Key == d.Key {
		r.Dispute = (payment.Facts{Disputes: []payment.Dispute{known}}).Merge(payment.Facts{Disputes: []payment.Dispute{d}}).Disputes[0]
	}
	r.OpenedAt, r.UpdatedAt = d.Created, now
	r.History = slices.Clone(r.History)
	for _, line := range lines {
		if !slices.ContainsFunc(r.History, func(c payment.CaseEntry) bool { return c.ID == line.ID }) {
			r.History = append(r.History, line)
		}
	}
	slices.SortStableFunc(r.History, func(a, b payment.CaseEntry) int { return a.At.Compare(b.At) })
	if extra := len(r.History) - maxCaseHistory; extra > 0 {
		r.History = slices.Delete(r.History, maxCaseHistory/2, maxCaseHistory/2+extra)
	}
	switch over := r.over(); {
	case !over:
		r.ClosedAt = time.Time{}
	case r.ClosedAt.IsZero():
		r.ClosedAt = now
	}
	r.CheckAt = now // the worker decides what follows
	return r
}

func (r DisputeRecord) over() bool {
	switch r.Dispute.Status {
	case payment.DisputeWon, payment.DisputeLost, payment.DisputeClosed:
		return true
	case payment.DisputeNeedsResponse, payment.DisputeUnderReview:
	}
	return false
}

func orphanDisputeAlert(k payment.ObjectKey) string {
	return payment.DeriveID("inc", "orphan_dispute", k.Provider, k.Account, k.ID)
}

// OrphanDispute reads a dispute that no payment is known to hold and keeps it as a
// record of its own, with its money, and an alert. Seen again it is brought up to
// date. It says whether the provider shows such a dispute at all.
func (s *Service) OrphanDispute(ctx context.Context, account, id string, src payment.Source) (bool, error) {
	a, ok := s.opts.Providers.Account(account)
	if !ok {
		return false, nil
	}
	obs, can, err := a.ReadDispute(ctx, id)
	if err != nil || !can {
		return false, err
	}
	for _, d := range obs.Facts.Disputes {
		if d.Key.ID != id {
			continue
		}
		return true, s.keepOrphan(ctx, a.Info().Mode, d, obs.Facts, src)
	}
	return false, nil
}

// keepOrphan writes the record of a dispute without a payment. One that has found
// its payment meanwhile is left alone.
func (s *Service) keepOrphan(ctx context.Context, mode payment.Mode, d payment.Dispute, facts payment.Facts, src payment.Source) error {
	now := s.now()
	owner := ""
	r, err := s.opts.Disputes.ChangeDispute(ctx, payment.DisputeID(d.Key), func(r DisputeRecord, found bool) (DisputeRecord, bool) {
		owner = r.Payment
		if found && !r.Orphan() {
			return r, false
		}
		var lines []payment.CaseEntry
		for _, what := range payment.DisputeNews(r.Dispute, found, d) {
			lines = append(lines, payment.CaseEntry{
				ID:      payment.DeriveID("cas", payment.DisputeID(d.Key), what, d.AsOf.Format(time.RFC3339Nano), string(d.Status)),
				Dispute: payment.DisputeID(d.Key), At: now, What: what, By: src.Actor, Layer: src.Layer, Reason: src.Reason,
				Status: d.Status, Stage: d.Stage, Amount: d.Amount, Withheld: d.Withheld,
			})
		}
		fees := (&payment.Payment{Facts: facts}).DisputeFees(d)
		if found && len(lines) == 0 && slices.Equal(fees, r.Fees) {
			return r, false
		}
		r.ID, r.Mode, r.Fees = payment.DisputeID(d.Key), mode, fees
		return r.seen(d, lines, now), true
	})
	if err != nil {
		return storeError(err)
	}
	if owner != "" {
		return nil
	}
	return storeOr(s.opts.Notify.Raise(ctx, AlertRecord{
		ID: orphanDisputeAlert(d.Key), Mode: mode, Dispute: r.ID, Account: d.Key.Account, Kind: "orphan_dispute", Severity: "critical", State: "open",
		Message: fmt.Sprintf("A dispute at %s (%s, %s, %s) belongs to no payment made here. Answer it at the provider.",
			d.Key.Account, d.Stage, d.Reason, r.Dispute.Status),
		Count: 1, FirstSeen: r.OpenedAt, LastSeen: r.UpdatedAt,
	}))
}

func storeOr(err error) error {
	if err == nil {
		return nil
	}
	return storeError(err)
}

// DisputeView is a dispute as it is answered: its record brought up to the
// payment's present facts.
type DisputeView struct {
	DisputeRecord
	Standing Evidence // the evidence that stands; zero ID: none
}

// Dispute reads one dispute of the caller's. Orphans are for operators.
func (s *Service) Dispute(ctx context.Context, c Caller, id string) (DisputeView, error) {
	r, err := s.disputeRecord(ctx, c, id)
	if err != nil {
		return DisputeView{}, err
	}
	view := DisputeView{DisputeRecord: r}
	if r.Evidence != "" {
		if view.Standing, err = s.opts.Disputes.GetEvidence(ctx, r.Evidence); err != nil {
			return DisputeView{}, storeError(err)
		}
	}
	return view, nil
}

// Submitted says that an answer was handed in, here or at the provider.
func (r DisputeRecord) Submitted() bool {
	return r.Dispute.Evidence.Submitted > 0 || slices.ContainsFunc(r.History, func(c payment.CaseEntry) bool { return c.What == "submit_evidence_done" })
}

// disputeRecord reads a record for a caller, with what its payment knows beyond it.
func (s *Service) disputeRecord(ctx context.Context, c Caller, id string) (DisputeRecord, error) {
	p, d, err := s.disputed(ctx, c, id)
	if err != nil {
		return DisputeRecord{}, err
	}
	r, err := s.opts.Disputes.GetDispute(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound) && p == nil:
		return DisputeRecord{}, notFound()
	case err != nil && !errors.Is(err, ErrNotFound):
		return DisputeRecord{}, storeError(err)
	case p == nil && (!c.Operator || !r.Orphan()):
		return DisputeRecord{}, notFound()
	case p == nil:
		return r, nil
	}
	var lines []payment.CaseEntry
	for _, line := range p.Cases {
		if line.Dispute == id {
			lines = append(lines, line)
		}
	}
	at := r.UpdatedAt
	if at.IsZero() || p.Version > r.Version {
		at = p.UpdatedAt
	}
	r = r.seen(d, lines, at)
	r.ID, r.App, r.Mode, r.Payment, r.Fees, r.Evidence = id, p.App, p.Mode, p.ID, p.DisputeFees(d), p.Evidence(d)
	return r, nil
}

// disputed finds the caller's payment that holds a dispute; nil if there is none.
func (s *Service) disputed(ctx context.Context, c Caller, id string) (*payment.Payment, payment.Dispute, error) {
	found, err := s.opts.Payments.ByRef(ctx, "", id)
	if err != nil {
		return nil, payment.Dispute{}, storeError(err)
	}
	for _, p := range found {
		if !c.Operator && (p.App != c.App || p.Mode != c.Mode) {
			continue
		}
		if d, ok := p.DisputeOf(id); ok {
			return p, d, nil
		}
	}
	return nil, payment.Dispute{}, nil
}

// ListDisputes reads the caller's disputes, newest first; an operator's are those of
// all apps, orphans too.
func (s *Service) ListDisputes(ctx context.Context, c Caller, f DisputeFilter) ([]DisputeRecord, string, error) {
	f.App, f.Mode = c.App, c.Mode
	if c.Operator {
		f.App, f.Mode = "", ""
	}
	list, next, err := s.opts.Disputes.ListDisputes(ctx, f)
	if err != nil {
		return nil, "", storeError(err)
	}
	return list, next, nil
}

// noDisputes stands where no store of disputes is given: there are none.
type noDisputes struct{}

func (noDisputes) GetDispute(context.Context, string) (DisputeRecord, error) {
	return DisputeRecord{}, ErrNotFound
}

func (noDisputes) ChangeDispute(context.Context, string, func(DisputeRecord, bool) (DisputeRecord, bool)) (DisputeRecord, error) {
	return DisputeRecord{}, ErrUnavailable
}

func (noDisputes) ListDisputes(context.Context, DisputeFilter) ([]DisputeRecord, string, error) {
	return nil, "", nil
}
func (noDisputes) DisputesDue(context.Context, time.Time, int) ([]string, error) { return nil, nil }
func (noDisputes) PutEvidence(context.Context, Evidence) error                   { return ErrUnavailable }

func (noDisputes) GetEvidence(context.Context, string) (Evidence, error) {
	return Evidence{}, ErrNotFound
}

func (noDisputes) PutFile(context.Context, string, []byte) error { return ErrUnavailable }

func (noDisputes) GetFile(context.Context, string) ([]byte, error) { return nil, ErrNotFound }
