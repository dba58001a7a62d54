package alerts

import (
	"fmt"
	"strings"
)

// Kind says what a kind of alert is about, for people.
type Kind struct {
	Name     string
	Severity string // as it is raised; the record's own wins
	Title    string // in our own words, fit for a subject
	Means    string
	Do       string
	Resolves string // when it ends by itself; "" means: when somebody resolves it
}

// Kinds lists every kind of alert there is; docs/alerts.md has the same, which a test sees to.
func Kinds() []Kind { //nolint:funlen // a table
	const whenReplayed = "Fix the cause, then run (with SQLite, while the server is stopped): trifecta webhooks replay --config FILE --state "
	return []Kind{
		{
			"conflicted_payment", Critical, "A payment is held: provider and order do not agree",
			"What was captured is not what was asked for (another amount or currency, or twice). The app is not told that it is paid.",
			"Look at the payment's funds and history, then resolve it: accept what was captured, or refund the rest.", "the payment is not conflicted any more",
		},
		{
			"late_money", Critical, "Money arrived on a payment that was over",
			"A customer paid on a checkout that was canceled, expired or abandoned. The money is recorded.",
			"Deliver what was bought, or refund it.", "",
		},
		{
			"outside_capture", Warning, "An authorization was captured outside this API",
			"Somebody used the provider's dashboard or another system. The money is recorded. Or an older capture counts as what was ordered later, which the message says.",
			"Check that it was meant, and that all that was ordered was captured.", "",
		},
		{
			"over_refunded", Critical, "More was given back than was taken",
			"Refunds of a capture exceed it, mostly because one was made in the provider's dashboard as well.",
			"Check the refunds of the payment, and ask the provider about the difference.", "",
		},
		{
			"money_reversed", Critical, "A provider took a payment's money back",
			"A bank returned it, or the provider reversed it by itself: no dispute and no refund explains it. The payment stays succeeded, and its amounts count it as disputed.",
			"Don't deliver what is not delivered yet, and ask the provider or the customer. Don't refund it as well.", "",
		},
		{
			"refund_failed", Critical, "A refund failed",
			"The customer was not paid back. It is critical where an operator ordered the refund to end a conflict: the customer is still charged twice, though the payment reads as succeeded.",
			"Refund again, or pay the customer another way. What an operator ordered is ordered again by itself: do neither until the alert says that it is ordered no more, but see why the provider refuses.",
			"a critical one: nothing is owed any more",
		},
		{
			"operation_stuck", Critical, "An operation has had no outcome for long",
			"It was tried for two hours: a call to the provider may or may not have worked, and asking has not told yet, or the provider turns us away. Nothing is repeated blindly. Told again each day.",
			"Look at the payment in the provider's dashboard. If the provider is down, wait.", "the operation has an outcome",
		},
		{
			"dispute_opened", Warning, "A customer disputes a payment",
			"The money is, or may be, taken back until the dispute is decided.",
			"Answer before the date named, or accept it.", "the dispute is decided",
		},
		{
			"dispute_due", Critical, "A dispute must be answered soon", "Without an answer in time it is lost.",
			"Send evidence, or accept it.", "it was answered or decided",
		},
		{"dispute_lost", Warning, "A dispute was lost", "The money and the fee are gone.", "Nothing. Consider blocking the customer.", ""},
		{"dispute_won", Info, "A dispute was won", "The money is back.", "Nothing.", ""},
		{
			"fraud_warning", Warning, "A bank warns of fraud on a payment",
			"The card's issuer believes that the holder did not pay. A dispute often follows.",
			"Consider a refund: it mostly prevents the dispute and its fee.", "",
		},
		{"rule_fired", Warning, "A fraud rule fired", "A payment matched a rule that asks for attention.", "Look at the payment and at the rule.", ""},
		{"customer_blocked", Warning, "A customer was blocked", "A rule or an operator blocks further payments.", "If it was a mistake, lift the block.", ""},
		{
			"orphan_dispute", Critical, "A dispute of a payment not made here",
			"A payment that this system does not know is disputed, and nobody here can answer by the API.",
			"Answer it in the provider's dashboard before the date it names.", "its payment becomes known",
		},
		{
			"orphan_money", Critical, "Money that no payment holds",
			"The provider moved money in the name of a payment that does not know it.",
			"Compare it with the payment it names. It may be a payment of a lost database.", "",
		},
		{
			"foreign_money", Warning, "Money in the account that is not ours",
			"Nothing connects it with a payment made here: another system may use the account.",
			"If another system uses the account on purpose, set ignore_foreign for it in the configuration; otherwise find out who does.", "",
		},
		{
			"webhook_silence", Critical, "Webhooks do not arrive",
			"Payments of this account are found by the customer's return or by reconciling only, which is later.",
			"Check the webhook endpoint in the provider's dashboard, its URL and its secret.", "a webhook arrives",
		},
		{
			"webhook_forged", Warning, "Many webhooks with a wrong signature",
			"The secret is wrong or was replaced, or somebody tries to forge webhooks. None of them was believed.",
			"Compare the webhook secret with the provider's. If it is right, it is an attempt and did nothing.", "an hour passed with none",
		},
		{"webhook_parked", Warning, "Webhooks are stored but not acted upon", "They don't fit the account's mode, version or owner.", whenReplayed + "parked", "none of the account's is left"},
		{"webhook_dead", Critical, "A webhook was given up", "It could not be worked on after many tries. Reconciling goes on.", whenReplayed + "dead", "none of the account's is left"},
		{"provider_mismatch", Critical, "Our record differs from the provider's list", "A payment, read again, still differs from what the provider lists.", "Look at the payment and at GET /v1/discrepancies, which has the evidence. Then resolve the discrepancy, with a reason: this alert ends with it.", "its discrepancy is resolved"},
		{"unreadable_item", Critical, "An object of the provider could not be worked through", "It was tried for days.", "Look at it in the provider's dashboard, then resolve the discrepancy that GET /v1/discrepancies shows: this alert ends with it.", "its discrepancy is resolved"},
		{"sweep_failing", Critical, "Reconciling an account fails", "A list of the provider could not be read for long, or its provider calls nothing newer complete. Webhooks and returns go on.", "Check the account's credentials and rights, and the provider's status page.", "the list was read"},
		{
			"worker_failing", Critical, "A part of the server does not work",
			"Every step of a worker has failed for a quarter of an hour, mostly because of one record or the store. What it does waits: events of apps, webhooks, payments to be read again.",
			"Look for the worker's name in the server's log: the error says which record it is about.", "the worker has ended a step well",
		},
		{
			"work_waiting", Critical, "Work that is due is not done",
			"Payments to be read again, operations, webhooks or events of apps wait for longer than twenty minutes: there is more of them than the server does, or something keeps it from them. The alert names the worker.",
			"Look at the processes: are they running, are their machines, the store or a provider slow?", "nothing of the worker waits that long any more",
		},
		{"reconcile_missed", Critical, "Reconciling has not run", "The third layer does not work.", "Check the server's log and its worker metrics.", "a run ended well"},
		{
			"provider_outage", Critical, "A provider does not answer",
			"Every call to this account fails, or every one that opens a checkout. Customers can't pay through it; what was begun is settled when it is back.",
			"Look at the provider's status page. Nothing needs to be repeated by hand.", "such a call works again",
		},
		{
			"credentials_refused", Critical, "A provider refuses our credentials",
			"It answers, and does not accept the key of this account: revoked, replaced, or without a right that is needed.",
			"Make a new key in the provider's dashboard, and configure it.", "such a call works again",
		},
		{"secret_expiring", Warning, "A credential runs out soon", "After the configured date the provider may refuse it.", "Make a new one, configure it, and set its new date.", "the configuration has a later date"},
	}
}

// KindOf describes a kind by its name; one that is not known is described as far
// as possible, never refused.
func KindOf(name string) Kind {
	for _, k := range Kinds() {
		if k.Name == name {
			return k
		}
	}
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return -1
	}, name)
	return Kind{Name: name, Severity: Warning, Title: "Alert of kind " + plain, Means: "This version has no more to say about it.", Do: "Look at the record."}
}

// KindsTable prints the kinds as a Markdown table, for docs/alerts.md.
func KindsTable() string {
	var b strings.Builder
	b.WriteString("| kind | severity | what it means | what to do | ends by itself when |\n|---|---|---|---|---|\n")
	for _, k := range Kinds() {
		resolves := k.Resolves
		if resolves == "" {
			resolves = "never: somebody resolves it"
		}
		fmt.Fprintf(&b, "| `%s` | %s | **%s.** %s | %s | %s |\n", k.Name, k.Severity, k.Title, k.Means, k.Do, resolves)
	}
	return b.String()
}
