package main

// readingBugs misread what a provider lists or shows.
func readingBugs() []bug {
	return []bug{
		{
			name: "open_refund_given_up", file: "gateway/payment/next.go", pkg: inPayment, test: "TestOpenRefundsAndDisputesAreReadToTheirEnd",
			old: `	case next.Before(latest.CreatedAt.Add(30 * 24 * time.Hour)), p.underway(), p`, new: `	case next.Before(latest.CreatedAt.Add(30 * 24 * time.Hour)), p`,
		},
		{
			name: "change_in_the_window_not_seen", file: "reconcile/sweep.go", pkg: inReconcile, test: "TestSweepReadsAgainWhatChangedSoon",
			old: `		if item.Changed.After(at) {`, new: `		if false {`,
		},
		{
			name: "refund_that_is_done_taken_for_known", file: "reconcile/diff.go", pkg: inReconcile, test: "TestSweepRefundThatIsThrough",
			old: `	if item.Done && !agreesDone(r, item) {`, new: `	if item.Done && false {`,
		},
		{
			name: "unexplained_debit_dismissed", file: "reconcile/diff.go", pkg: inReconcile, test: "TestUnexplainedDebit",
			old: `item.Object.Kind == "debit" && !disputed(p.Facts, account, item)`, new: `false`,
		},
		{
			name: "money_given_back_counts_as_taken", file: "providers/paypal/facts.go", pkg: inPayPal, test: "TestFetchReversalsBySignAndStatus",
			old: `		if amount.Minor > 0 {
			continue
		}
		amount = negative(amount)
`, new: `		amount.Minor = max(amount.Minor, -amount.Minor)
`,
		},
		{
			name: "narrow_look_taken_for_whole", file: "gateway/payment/merge.go", pkg: inReconcile, test: "TestNarrowLookIsNoLook",
			old: `!o.Narrow && o.AsOf.After(a.WholeAsOf)`, new: `o.AsOf.After(a.WholeAsOf)`,
		},
		{
			name: "failed_search_taken_for_none", file: "providers/paypal/fetch.go", pkg: inPayPal, test: "TestFetchWithoutReports",
			old: `			return out, true
`, new: `			return out, false
`,
		},
		{
			name: "booked_reversal_taken_from_net_twice", file: "gateway/payment/amounts.go", pkg: inStripe, test: "TestTakenBackAfterSuccess",
			old: `		if !told[r.Key.ID] {`, new: `		if booked[r.Key.ID] == 0 {`,
		},
		{
			name: "renewals_hold_money_beside_each_other", file: "providers/paypal/facts.go", pkg: inPayPal, test: "TestRenewedTwice",
			old: `			out[x.ID] = family[i-1].ID
`, new: `			out[x.ID] = x.parent()
`,
		},
		{
			name: "captured_before_a_renewal_taken_off_twice", file: "providers/paypal/facts.go", pkg: inPayPal, test: "TestRenewedForTheRest",
			old: `min(amount.Minor-m.takenOf(x), agreed-taken)`, new: `min(amount.Minor-taken, agreed-taken)`,
		},
	}
}

// lookBugs take a look that saw less for one that saw everything.
func lookBugs() []bug {
	return []bug{
		{
			name: "complained_capture_not_looked_at", file: "providers/paypal/fetch.go", pkg: inPayPal, test: "TestFetchComplainedCapture",
			old: `	return waitsOrFailed(c) && !slices`, new: `	return waitsOrFailed(c) || false && !slices`,
		},
		{
			name: "second_approval_not_heard", file: "providers/paypal/event.go", pkg: inInbox, test: "TestApprovedAgainByWebhookAlone",
			old: `, Approved: e.EventType == approved,`, new: `,`,
		},
		{
			name: "look_without_the_root_counts", file: "gateway/lookup.go", pkg: inGateway, test: "TestLookUpsWithoutTheRoot",
			old: `LookedUp: !obs.Rootless`, new: `LookedUp: true`,
		},
		{
			name: "look_without_disputes_counts_for_them", file: "gateway/lookup.go", pkg: inGateway, test: "TestLookUpsWithoutDisputes",
			old: `op.Kind.OnDispute() || !providers.Beside(err)`, new: `!providers.Beside(err)`,
		},
		{
			name: "list_waits_for_disputes", file: "reconcile/items.go", pkg: inReconcile, test: "TestListGoesOnWithoutDisputes",
			old: `!(read && below(row.item.Object.Kind))`, new: `!(read && false)`,
		},
		{
			name: "unread_disputes_taken_for_none", file: "providers/paypal/fetch.go", pkg: inPayPal, test: "TestFetchDisputesForbidden",
			old: `s.narrow = s.narrow || unread != nil`, new: `unread = nil`,
		},
		{
			name: "reports_make_the_account_rest", file: "providers/paypal/reports.go", pkg: inPayPal, test: "TestReportsRestAlone",
			old: `	e.Aside = true
`, new: ``,
		},
	}
}

// promiseBugs break what a caller or an operator was told.
func promiseBugs() []bug {
	return []bug{
		{
			name: "refused_operator_refund_dropped", file: "gateway/payment/owed.go", pkg: inGateway, test: "TestResolveRefundIsDone",
			old: `busy != nil || made >= maxOperatorRefunds {`, new: `busy != nil || made >= 1 {`,
		},
		{
			name: "operator_refund_ordered_in_full_again", file: "gateway/payment/owed.go", pkg: inPayment, test: "TestOperatorRefundGivesTheRest",
			old: `Amount: Money{Minor: left, Currency: c.Amount.Currency}, Reason: "duplicate",`, new: `Amount: c.Amount, Reason: "duplicate",`,
		},
		{
			name: "unanswered_creation_expires", file: "gateway/payment/payment.go", pkg: inGateway, test: "TestUnansweredCreationDoesNotExpire",
			old: `until.After(p.ExpiresAt) {`, new: `until.Before(p.ExpiresAt) {`,
		},
		{
			name: "stuck_forgotten_with_key", file: "gateway/payment/settle.go", pkg: inPayment, test: "TestStuckByAge",
			old: `		op.Generation++
		op.Key`, new: `		op.Generation++
		op.TriedSince = now
		op.Key`,
		},
		{
			name: "answered_refund_ordered_again", file: "gateway/payment/operation.go", pkg: inGateway, test: "TestAnsweredRefundIsNeverOrderedAgain",
			old: `	return o.State == OpFailed && o.Code != CodeDeclined && !o.Answered`, new: `	return o.State == OpFailed && o.Code != CodeDeclined`,
		},
		{ // the same one, for the judge: it sees answers, events and the ledger only
			name: "answered_refund_ordered_again_unseen", file: "gateway/payment/operation.go", mode: reconcileOnly, seeds: 40, off: "credentials_refused,unclear_5xx", says: "I5 refund",
			old: `	return o.State == OpFailed && o.Code != CodeDeclined && !o.Answered`, new: `	return o.State == OpFailed && o.Code != CodeDeclined`,
		},
		{
			name: "worker_overtakes_the_request", file: "gateway/commands.go", pkg: inGateway, test: "TestWorkersLeaveARequestItsOwnOrder",
			old: `op.NextAt = s.now().Add(headStart)`, new: `op.NextAt = s.now()`,
		},
		{
			name: "refund_told_while_it_may_be_repeated", file: "gateway/payment/payment.go", pkg: inGateway, test: "TestTurnedAwayRefundIsToldByItsAnswerOnly",
			old: `return op != nil && op.Open() && !`, new: `return op != nil && op.Open() && false && !`,
		},
	}
}

// guessBugs take a reading for more than it says.
func guessBugs() []bug {
	return []bug{
		{
			name: "capture_without_answer_forgotten", file: "gateway/payment/payment.go", pkg: inPayment, test: "TestCaptureWithoutAnAnswerIsProcessing",
			old: `	c.Processing = c.Processing || p.taking()`, new: `	c.Processing = c.Processing || false && p.taking()`,
		},
		{
			name: "free_checkout_taken_back", file: "gateway/payment/merge.go", pkg: inPayment, test: "TestCompletedForNothingStaysPaid",
			old: `rank([]bool{false, true}, b.free()); c != 0 {`, new: `rank([]bool{false, true}, b.free()); c > 1 {`,
		},
		{
			name: "denied_order_open_again", file: "gateway/payment/status.go", pkg: inPayment, test: "TestRefusedOrderStaysFailed",
			old: `		case f.refused(fact):`, new: `		case false && f.refused(fact):`,
		},
		{
			name: "unknown_end_of_case_costs_nothing", file: "providers/paypal/disputes.go", pkg: inPayPal, test: "TestFetchDispute",
			old: `	return payment.DisputeNeedsResponse, false
}

// withheld`, new: `	return payment.DisputeClosed, true
}

// withheld`,
		},
		{
			name: "duplicate_of_our_own_is_certainly_not_done", file: "providers/paypal/classify.go", pkg: inPayPal, test: "TestClassify",
			old: `"DUPLICATE_INVOICE_ID", "DUPLICATE_TRANSACTION", `, new: `"DUPLICATE_INVOICE_ID", `,
		},
		{
			name: "lost_dispute_gave_everything_back", file: "providers/stripe/disputes.go", pkg: inStripe, test: "TestDisputeFacts",
			old: `	case !same && lost(d):`, new: `	case !same && lost(d) && taken < 0:`,
		},
		{
			name: "fee_of_the_whole_hold", file: "providers/stripe/facts.go", pkg: inStripe, test: "TestFeeOfAPartialCaptureWaitsForItsRelease",
			old: `		if !m.halfTold(c) {`, new: `		if true || !m.halfTold(c) {`,
		},
		{
			name: "dispute_given_up_on_a_guess", file: "gateway/disputepolicy.go", pkg: inGateway, test: "TestPolicyAcceptsOnlyWhatItStillWould",
			old: `d.Status != payment.DisputeNeedsResponse || d.Unclear {`, new: `d.Status != payment.DisputeNeedsResponse {`,
		},
	}
}

// waitingBugs take what is still open for what is over.
func waitingBugs() []bug {
	return []bug{
		{
			name: "restored_refund_made_again", file: "gateway/payment/commands.go", pkg: inGateway, test: "TestRestoredBackupKnowsARefundThatWasTurnedAway",
			old: `op != nil && !op.Repeatable() {
		return Refund{}, false`, new: `op != nil {
		return Refund{}, false`,
		},
		{
			name: "restored_try_not_looked_for", file: "gateway/payment/operation.go", pkg: inGateway, test: "TestRestoredBackupKnowsARefundThatWasTurnedAway",
			old: `	if o.Tries == 0 && o.LookUps == 0 && !o.TurnedAwayAt.IsZero() {`, new: `	if o.Tries < 0 {`,
		},
		{
			name: "unclear_dispute_told_to_nobody", file: "gateway/payment/disputes.go", pkg: inPayment, test: "TestUnclearDisputeIsTold",
			old: `		if d.Unclear && !before.Unclear {`, new: `		if d.Unclear && !known {`,
		},
		{
			name: "inquiry_of_unknown_end_costs_nothing", file: "gateway/payment/disputes.go", pkg: inPayment, test: "TestDisputedAndFees",
			old: ` && d.Status != DisputeLost && !d.Unclear {`, new: ` && d.Status != DisputeLost {`,
		},
		{
			name: "pending_capture_beside_not_read", file: "gateway/payment/next.go", pkg: inPayment, test: "TestOpenRefundsAndDisputesAreReadToTheirEnd",
			old: `		if c.State == CapturePending {
			return true
		}
	}
	for _, r`, new: `		if c.State == CapturePending && c.N < 0 {
			return true
		}
	}
	for _, r`,
		},
		{
			name: "policy_asked_once_only", file: "gateway/disputepolicy.go", pkg: inGateway, test: "TestPolicyWaitsForItsProvider",
			old: `return !app.Disputes.undecided(r.Dispute), nil`, new: `return true, nil`,
		},
	}
}
