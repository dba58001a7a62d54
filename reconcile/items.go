package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

const (
	refsAtOnce = 50 // ids in one look-up of payments
	// patience is how often a row is tried before its money is called an orphan
	// although a payment of ours is named: providers show the same money at
	// different times in different places.
	patience = 3
)

var errNotShown = errors.New("the provider lists it, and the payment's own objects don't show it yet")

// placing is the work on one page: what is known of its payments, the newest
// version of each, so that several rows about one payment cost one reading.
type placing struct {
	r       *Reconciler
	w       *work
	account *providers.Account
	byRef   map[string]*payment.Payment
	fresh   map[string]*payment.Payment // read in this page, by id
	broken  map[string]error            // could not be read in this page, by id
}

// place works through rows one after the other. A row that fails comes back to be
// tried again; the error is why the job can't go on. skip names rows that are
// waiting for another try already.
func (r *Reconciler) place(ctx context.Context, w *work, a *providers.Account, rows []row, skip func(providers.SweepItem) bool) ([]retry, error) {
	pl := &placing{r: r, w: w, account: a, byRef: map[string]*payment.Payment{}, fresh: map[string]*payment.Payment{}, broken: map[string]error{}}
	pl.lookUp(ctx, rows)
	var failed []retry
	for _, row := range rows {
		if skip != nil && skip(row.item) {
			continue
		}
		// What strangers' money is asked for takes no reading of a payment, which would
		// renew the lease; a page of it may take longer than the lease lasts.
		if err := w.hold.keep(ctx); err != nil {
			return nil, err
		}
		w.run.Seen++
		err := safely(func() error { return pl.row(ctx, row) })
		if err == nil {
			continue
		}
		if fatal(ctx, err) {
			return nil, err
		}
		w.note(fmt.Errorf("%s %s: %w", row.item.Object.Kind, row.item.Object.ID, err))
		now := r.now()
		failed = append(failed, retry{Item: row.item, At: row.at, Tries: row.tries + 1, First: now, NextAt: now.Add(retryDelay(row.tries))})
	}
	return failed, nil
}

// lookUp finds the payments of a whole page at once. Where that fails, each row
// looks its own up, so that one payment that can't be read does not hide the rest.
func (pl *placing) lookUp(ctx context.Context, rows []row) {
	var all []string
	for _, row := range rows {
		for _, id := range ids(row.item) {
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
	}
	for chunk := range slices.Chunk(all, refsAtOnce) {
		if found, err := pl.find(ctx, chunk); err == nil {
			pl.remember(chunk, found)
		}
	}
}

// find looks payments up by ids of this account.
func (pl *placing) find(ctx context.Context, refs []string) (found []*payment.Payment, err error) {
	err = safely(func() error {
		found, err = pl.r.opts.Payments.ByRef(ctx, pl.account.Info().Account, refs...)
		return err
	})
	return found, err
}

func (pl *placing) remember(refs []string, found []*payment.Payment) {
	account := pl.account.Info().Account
	for _, id := range refs {
		pl.byRef[id] = nil // looked up
		for _, p := range found {
			if belongs(p, account, providers.SweepItem{Object: providers.Ref{ID: id}}) {
				pl.byRef[id] = p
				break
			}
		}
	}
}

// known finds the payment that knows one of these ids, the most specific first;
// nil if none does.
func (pl *placing) known(ctx context.Context, refs []string) (*payment.Payment, error) {
	for _, id := range refs {
		if id == "" {
			continue
		}
		p, done := pl.byRef[id]
		if !done {
			found, err := pl.find(ctx, []string{id})
			if err != nil {
				return nil, err
			}
			pl.remember([]string{id}, found)
			p = pl.byRef[id]
		}
		if p == nil {
			continue
		}
		if newer, ok := pl.fresh[p.ID]; ok {
			p = newer
		}
		return p, nil
	}
	return nil, nil //nolint:nilnil // no payment knows it, which is an answer
}

// row works through one row: nothing to learn, a payment to read again, or money
// that nobody explains.
func (pl *placing) row(ctx context.Context, row row) error {
	p, err := pl.known(ctx, ids(row.item))
	if err != nil {
		return err
	}
	if p != nil {
		return pl.judge(ctx, row, p)
	}
	claimed, done, err := pl.claimed(ctx, row, row.item.Hint)
	if err != nil || done {
		return err
	}
	if row.item.Object.Kind == "dispute" && claimed == nil {
		if done, err := pl.dispute(ctx, row); err != nil || done {
			return err
		}
	}
	if !row.item.Paid {
		return nil // no money moved, and nobody of ours knows it
	}
	return pl.stray(ctx, row, row.item.Hint, claimed)
}

// dispute keeps a dispute that no payment is known to hold as a record of its own,
// whether or not it took money, unless tracing it leads to a payment.
func (pl *placing) dispute(ctx context.Context, row row) (done bool, err error) {
	account := pl.account.Info().Account
	if pl.r.opts.Disputes == nil || row.item.Hint.PaymentID == "" && slices.Contains(pl.r.opts.IgnoreForeign, account) {
		return false, nil
	}
	pl.w.run.Calls += 2
	traced, err := pl.account.Trace(ctx, row.item.Object)
	switch c := providers.ClassOf(err); {
	case err == nil:
		p, err := pl.known(ctx, traced.Refs)
		if err != nil {
			return false, err
		}
		if p != nil {
			return true, pl.judge(ctx, row, p)
		}
		if _, done, err := pl.claimed(ctx, row, traced); err != nil || done {
			return true, err
		}
	case c != providers.NotFound && c != providers.Refused:
		return false, fmt.Errorf("trace: %w", err)
	}
	kept, err := pl.r.opts.Disputes.OrphanDispute(ctx, account, row.item.Object.ID, pl.w.src)
	switch {
	case providers.ClassOf(err) == providers.NotFound:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("keep the dispute: %w", err)
	case kept:
		pl.w.run.Orphans++
	}
	return kept, nil
}

// claimed reads the payment that an object's metadata names. done says that the
// object turned out to belong to it.
func (pl *placing) claimed(ctx context.Context, row row, hint providers.Hint) (p *payment.Payment, done bool, err error) {
	if hint.PaymentID == "" {
		return nil, false, nil
	}
	p, err = pl.read(ctx, row, hint.PaymentID, hint.N)
	var known *payment.Error
	if errors.As(err, &known) && known.Code == payment.CodeNotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if !belongs(p, pl.account.Info().Account, row.item) {
		return p, false, nil
	}
	return p, true, pl.verify(ctx, row, p)
}

// judge compares a row with the payment that knows it, and reads the payment
// again where the row may tell news.
func (pl *placing) judge(ctx context.Context, row row, p *payment.Payment) error {
	account := pl.account.Info().Account
	n := attemptOf(p, account, row.item)
	again := row.item.Approved && p.Reapproved(n, row.item.Created)
	if again {
		if err := pl.r.opts.Applier.Approved(ctx, p.ID, n, row.item.Created, pl.w.src); err != nil {
			return err
		}
	}
	if !again && compare(p, account, row.item, row.at) == reflected {
		return nil
	}
	p, err := pl.read(ctx, row, p.ID, n)
	if err != nil {
		return err
	}
	return pl.verify(ctx, row, p)
}

// verify says what is left to say after a reading.
func (pl *placing) verify(ctx context.Context, row row, p *payment.Payment) error {
	if !row.item.Paid {
		return nil
	}
	account := pl.account.Info().Account
	switch v := compare(p, account, row.item, row.at); v {
	case reflected, stale:
		return nil
	case differs, missing:
		if row.tries+1 < patience {
			return errNotShown
		}
		if v == missing && !readAfter(p.Facts, account, attemptOf(p, account, row.item), row.at) {
			// Where PayPal's search for reversals fails, nobody knows that there is none:
			// the row is kept, and after days of that a human is asked to look at it.
			return errNotShown
		}
		return pl.r.mismatch(ctx, pl.w, pl.account, row.item, p, v)
	}
	return nil
}

// read reads a payment at its provider for a row, once a page. Attempt 0 is every attempt
// that can still change. Where only what stands beside the root can't be read, that is
// enough for rows about what stands below it: else a disputes service that is away for
// long would fill the memory of rows that fail, and stop the list.
func (pl *placing) read(ctx context.Context, row row, id string, n int) (*payment.Payment, error) {
	key := fmt.Sprintf("%s#%d", id, n)
	_, done := pl.fresh[key]
	err, failed := pl.broken[key]
	if !done && !failed {
		var p *payment.Payment
		p, err = pl.w.refresh(ctx, pl.account.Info().Account, id, n)
		if err == nil || providers.Beside(err) && p != nil {
			pl.fresh[key], pl.fresh[id] = p, p
		}
		if err != nil && !fatal(ctx, err) {
			pl.broken[key] = err
		}
	}
	if _, read := pl.fresh[key]; err != nil && !(read && below(row.item.Object.Kind)) {
		return nil, err
	}
	return pl.fresh[id], nil
}

// below says whether an object of this kind is a checkout or money below it, which
// reading the checkout shows.
func below(kind string) bool {
	switch kind {
	case "checkout_session", "order", "payment_intent", "charge", "capture", "authorization", "refund":
		return true
	}
	return false
}

// stray is money that no payment knows: it is traced to its relatives at the
// provider, and becomes an orphan where that leads nowhere. claim is the payment
// that the object names although it does not hold it, nil if there is none.
func (pl *placing) stray(ctx context.Context, row row, hint providers.Hint, claim *payment.Payment) error {
	known, ok, err := pl.r.opts.Orphans.KnownOrphan(ctx, pl.account.Info().Account, moved(row.item).ID)
	if err != nil {
		return fmt.Errorf("look the orphan up: %w", err)
	}
	if ok {
		pl.w.run.Orphans++
		return pl.r.alertOrphan(ctx, pl.account, known)
	}
	pl.w.run.Calls++
	traced, err := pl.account.Trace(ctx, row.item.Object)
	switch c := providers.ClassOf(err); {
	case err == nil:
		row.item.Hint.Refs = append(slices.Clone(row.item.Hint.Refs), traced.Refs...)
	case c == providers.NotFound, c == providers.Refused:
		traced = providers.Hint{} // its trail ends here
	default:
		return fmt.Errorf("trace: %w", err)
	}
	p, err := pl.known(ctx, traced.Refs)
	if err != nil {
		return err
	}
	if p != nil {
		return pl.judge(ctx, row, p)
	}
	if traced.PaymentID != "" && traced.PaymentID != hint.PaymentID {
		other, done, err := pl.claimed(ctx, row, traced)
		if err != nil || done {
			return err
		}
		claim, hint = other, traced
	}
	if claim != nil && (row.tries+1 < patience || claim.Unfinished(0, payment.OpCreate) != nil) {
		return errNotShown
	}
	if d := pl.r.opts.Disputes; d != nil && row.item.Object.Kind == "dispute" {
		if _, err := d.OrphanDispute(ctx, pl.account.Info().Account, row.item.Object.ID, pl.w.src); err != nil && providers.ClassOf(err) != providers.NotFound {
			return fmt.Errorf("keep the dispute: %w", err)
		}
	}
	return pl.r.orphan(ctx, pl.w, pl.account, row.item, hint.PaymentID)
}

// moved names the object whose money a row is about. A row of a provider's ledger
// has an id of its own and names its source first.
func moved(item providers.SweepItem) providers.Ref {
	switch item.Object.Kind {
	case "transaction", "balance_transaction":
		if len(item.Hint.Refs) > 0 && item.Hint.Refs[0] != item.Object.ID {
			return providers.Ref{Kind: "movement", ID: item.Hint.Refs[0]}
		}
	}
	return item.Object
}

// at is a time for messages.
func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }
