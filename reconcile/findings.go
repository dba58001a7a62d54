package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// orphan records money that no payment of ours explains. claimed is the payment
// that the object names, if it names one.
func (r *Reconciler) orphan(ctx context.Context, w *work, a *providers.Account, item providers.SweepItem, claimed string) error {
	info := a.Info()
	if claimed == "" && slices.Contains(r.opts.IgnoreForeign, info.Account) {
		return nil
	}
	o := Orphan{
		Provider: info.Provider, Account: info.Account, Object: moved(item),
		Amount: item.Amount, Claimed: claimed, Run: w.run.ID, SeenAt: r.now(),
	}
	o.Refs = append(o.Refs, item.Object.ID)
	if item.Amount.Minor >= 0 {
		// Money that came in is listed under many ids: the session, the intent, the
		// charge. What went out shares those with what came in, and is another movement.
		o.Refs = append(o.Refs, item.Hint.Refs...)
	}
	w.run.Orphans++
	stored, created, err := r.opts.Orphans.AddOrphan(ctx, o)
	if err != nil {
		return fmt.Errorf("record an orphan: %w", err)
	}
	if created {
		r.opts.Logger.WarnContext(ctx, "orphan", "account", o.Account, "object", o.Object.ID, "claimed", claimed)
	}
	return r.alertOrphan(ctx, a, stored)
}

// alertOrphan tells of a stored orphan. The incident and its moment are the
// record's, so telling it again, also for a crash in between, changes nothing.
func (r *Reconciler) alertOrphan(ctx context.Context, a *providers.Account, o Orphan) error {
	alert := Alert{
		ID:   payment.DeriveID("inc", "orphan", o.Provider, o.Account, o.Object.ID), // as the webhook layer names it
		Kind: KindOrphan, Severity: "critical", Account: o.Account, Mode: a.Info().Mode, Payment: o.Claimed, At: o.SeenAt,
		Message: fmt.Sprintf("The %s %s%s names the payment %s, which does not hold it.", o.Object.Kind, o.Object.ID, inWords(o.Amount), o.Claimed),
	}
	if o.Claimed == "" {
		alert.Kind, alert.Severity = KindForeign, "warning"
		alert.Message = fmt.Sprintf("Nothing connects the %s %s%s with a payment made here: another system may use the account.",
			o.Object.Kind, o.Object.ID, inWords(o.Amount))
	}
	if err := r.opts.Alerts.Alert(ctx, alert); err != nil {
		return fmt.Errorf("alert of the orphan %s: %w", o.Object.ID, err)
	}
	return nil
}

// inWords is an amount for a message, empty where there is none.
func inWords(m payment.Money) string {
	if m.Currency == "" {
		return ""
	}
	return fmt.Sprintf(" (%d %s in minor units)", m.Minor, m.Currency)
}

// mismatch records that a payment, read again, still differs from the list.
func (r *Reconciler) mismatch(ctx context.Context, w *work, a *providers.Account, item providers.SweepItem, p *payment.Payment, v verdict) error {
	d := r.discrepancy(w, a.Info(), item)
	d.ID = payment.DeriveID("dis", "mismatch", p.ID, a.Info().Account, item.Object.ID, fmt.Sprint(item.Amount), fmt.Sprint(item.Paid))
	d.Kind, d.Severity, d.Payment, d.App = KindMismatch, "critical", p.ID, p.App
	d.Evidence = fmt.Sprintf("The list shows the %s in another amount or state than the payment.", item.Object.Kind)
	if v == missing {
		d.Evidence = fmt.Sprintf("The list shows a %s of this payment that reading the payment does not show.", item.Object.Kind)
	}
	w.run.Discrepancies++
	return r.record(ctx, d)
}

// unreadable records a row that failed for days.
func (r *Reconciler) unreadable(ctx context.Context, w *work, a *providers.Account, old retry) error {
	d := r.discrepancy(w, a.Info(), old.Item)
	d.ID = payment.DeriveID("dis", "unreadable", a.Info().Account, old.Item.Object.Kind, old.Item.Object.ID, at(old.Item.Created))
	d.Kind, d.Severity, d.Payment = KindUnreadable, "critical", old.Item.Hint.PaymentID
	d.Evidence = fmt.Sprintf("The %s could not be worked through since %s, in %d tries.", old.Item.Object.Kind, at(old.First), old.Tries)
	w.run.Discrepancies++
	return r.record(ctx, d)
}

func (r *Reconciler) discrepancy(w *work, info providers.Info, item providers.SweepItem) Discrepancy {
	return Discrepancy{
		Provider: info.Provider, Account: info.Account, Mode: info.Mode, Object: item.Object, Amount: item.Amount,
		Run: w.run.ID, Occurred: item.Created, SeenAt: r.now(), State: "open",
	}
}

// record stores a discrepancy and tells of it, in this order: a crash in between
// is made good at the next sighting, and the same incident is told once.
func (r *Reconciler) record(ctx context.Context, d Discrepancy) error {
	stored, created, err := r.opts.Discrepancies.Record(ctx, d)
	if err != nil {
		return fmt.Errorf("record %s: %w", d.Kind, err)
	}
	if created {
		r.opts.Logger.WarnContext(ctx, "discrepancy", "id", d.ID, "kind", d.Kind, "account", d.Account, "object", d.Object.ID, "payment", d.Payment)
	}
	return r.alert(ctx, stored)
}

// AlertOf is the id of the alert that tells of a discrepancy.
func AlertOf(discrepancy string) string { return payment.DeriveID("inc", discrepancy) }

// alert tells of a stored discrepancy; again at no cost to anybody.
func (r *Reconciler) alert(ctx context.Context, d Discrepancy) error {
	err := r.opts.Alerts.Alert(ctx, Alert{
		ID: AlertOf(d.ID), Kind: d.Kind, Severity: d.Severity, Account: d.Account, Mode: d.Mode, Payment: d.Payment,
		Message: fmt.Sprintf("%s %s%s: %s", d.Object.Kind, d.Object.ID, inWords(d.Amount), d.Evidence), At: d.SeenAt,
	})
	if err != nil {
		return fmt.Errorf("alert of %s: %w", d.ID, err)
	}
	return nil
}
