package main

const (
	inEgress = "./webhooks/egress"
	inAlerts = "./gateway/alerts"
)

// listedBugs are what every payments system is warned of.
func listedBugs() []bug {
	return []bug{
		{
			name: "no_deduplication", file: "webhooks/inbox/record.go", pkg: inInbox, test: "TestHundredCopiesOneEffect",
			old: `	case Dead:
		return r.restarted(now), true
	case Done, Irrelevant, Parked:`, new: `	case Dead, Done:
		return r.restarted(now), true
	case Irrelevant, Parked:`,
		},
		{
			name: "empty_secret_accepted", file: "providers/stripe/stripe.go", pkg: inInbox, test: "TestWeakSecretsAreRefused",
			old: `		if len(strings.TrimSpace(secret)) < minSecret || strings`, new: `		if strings`,
		},
		{
			name: "private_address_allowed", file: "webhooks/egress/egress.go", pkg: inEgress, test: "TestG3G4Names",
			old: `	if c.o.AllowPrivate || Public(ip) {`, new: `	if c.o.AllowPrivate || ip.IsValid() {`,
		},
		{
			name: "provider_text_in_an_error", file: "providers/stripe/errors.go", pkg: inStripe, test: "TestAnswersAreClassified",
			old: `	e.Cause = contextCause(err)
	switch {`, new: `	e.Cause = err
	switch {`,
		},
		{
			name: "provider_words_told_as_a_code", file: "providers/stripe/errors.go", pkg: inStripe, test: "TestAnswersAreClassified",
			old: `		e.Code = word(string(answer.Type))`, new: `		e.Code = answer.Msg`,
		},
		{
			name: "alert_lost_while_mail_is_away", file: "gateway/alerts/box.go", pkg: inAlerts, test: "TestMailDownForADay",
			old: `	if now.Sub(b.Items[i].At) > giveUpAfter && f.Permanent {`, new: `	if b.Items[i].Tries > 1 {`,
		},
		{
			name: "history_names_nobody", file: "gateway/payment/payment.go", pkg: inPayment, test: "TestEventOfAPaymentThatWaitsForAChoice",
			old: `HistoryEntry{At: now, Source: src, Before: before`, new: `HistoryEntry{At: now, Before: before`,
		},
		{
			name: "nothing_is_read_again", file: "reconcile/due.go", pkg: inReconcile, test: "TestDueSyncSettlesAPaidPayment",
			old: `	if err != nil || len(ids) == 0 {
		return 0, next, err
	}
	h, ok`, new: `	if err != nil || len(ids) >= 0 {
		return 0, next, err
	}
	h, ok`,
		},
		{
			name: "nothing_is_swept", file: "reconcile/reconcile.go", pkg: inReconcile, test: "TestSweepFindsDashboardRefundOfOldPayment",
			old: `		if len(a.Lists()) == 0 {`, new: `		if len(a.Lists()) >= 0 {`,
		},
	}
}
