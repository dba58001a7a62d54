package store

// EraseHow is how a collection gives up a customer's personal data.
type EraseHow string

// The ways. In each the whole store is scanned afterwards for what is left.
const (
	// ErasePayment: the payments themselves, through gateway's write path.
	ErasePayment EraseHow = "payment"
	// EraseFeed: the customer in the events of erased payments.
	EraseFeed EraseHow = "feed"
	// EraseInbox: the bodies of webhooks about erased payments, and of those that name the address.
	EraseInbox EraseHow = "inbox"
	// EraseBodies: parts of large webhook bodies that name the address.
	EraseBodies EraseHow = "bodies"
	// EraseTexts: the address and the name in texts about the customer, and in ownerless ones that hold the address.
	EraseTexts EraseHow = "texts"
	// EraseNothing: only ids, counts and times of ours stand here, nobody can put a text into it.
	EraseNothing EraseHow = "nothing"
)

// Keeping says what one collection holds of people, for how long, and how it is erased.
type Keeping struct {
	Collection string
	Personal   string // what personal data or secrets stand in it
	Kept       string // for how long
	Erase      EraseHow
}

const (
	forEver = "for ever"
	never   = "nothing"
)

// largeAtOnce is how many records are read at once where each may be of a document's largest size.
const largeAtOnce = 8

// atOnce bounds a batch of a collection's records by what they may weigh together, in memory and on the line. Pages of
// feeds, parts of webhooks and evidence come near a document's limit; a hundred others weigh less than a few of those.
func atOnce(coll string, most int) int {
	switch coll {
	case feedName, bodiesName, filesName:
		return min(most, largeAtOnce)
	}
	return most
}

// Keepings has one entry for every collection; a test sees to it, and to docs/privacy.md saying the same. A new
// collection registers here what it keeps of people: that is all that erasure and its proof need to know of it.
func Keepings() []Keeping {
	return []Keeping{
		{migrationsName, never, forEver, EraseNothing},
		{leases, never, "until the job ends", EraseNothing},
		{cursors, never, forEver, EraseNothing},
		{claims, never, forEver, EraseNothing},
		{paymentsName, "name, e-mail address, payer's address and its digest, description, metadata, return URLs, the customer's token, requests to providers, events not yet in the feed", forEver, ErasePayment},
		{historyName, "texts of operators' reasons", forEver, EraseTexts},
		{keysName, "digests of API keys", forEver, EraseNothing},
		{alertsName, "texts", "`retention.alerts_resolved` after they were resolved", EraseTexts},
		{alertBoxesName, "texts of alerts not yet sent", "until they are sent", EraseTexts},
		{inboxName, "raw webhook bodies", "bodies `retention.inbox_bodies`, the rest `retention.inbox`; parked and dead ones for ever", EraseInbox},
		{bodiesName, "parts of large webhook bodies", "`retention.inbox_bodies`", EraseBodies},
		{orphansName, "ids at providers", forEver, EraseTexts},
		{runsName, "texts of errors", "`retention.runs`", EraseTexts},
		{discrepanciesName, "texts of operators' reasons", forEver, EraseTexts},
		{feedName, "payments as they were at each event", "`retention.feed`", EraseFeed},
		{disputesName, "texts of reasons", forEver, EraseTexts},
		{evidenceName, "what was told a provider in answer to a dispute: name, addresses, correspondence", forEver, EraseTexts},
		{filesName, "documents handed in as evidence, which no search can read", forEver, EraseTexts},
		{replicasName, never, "while the process runs", EraseNothing},
		{settingsName, "texts of operators' reasons", forEver, EraseTexts},
		{sharesName, never, "while processes run", EraseNothing},
		// Whoever was banned must not come back by asking to be forgotten: the digest of an address, a card's
		// fingerprint and a payer's id stay.
		{riskSubjectsName, "apps' customer ids, digests of e-mail addresses, card fingerprints, payer ids", forEver, EraseNothing},
		{riskTalliesName, never, forEver, EraseNothing},
		{riskDecisionsName, "the same, and texts of operators' reasons", forEver, EraseTexts},
		{riskBlocksName, "the same, and texts of operators' reasons", forEver, EraseTexts},
		{erasuresName, "until it is done: the address and names searched for; while it is incomplete: those that still stand somewhere, and digests of the addresses", forEver, EraseNothing},
	}
}
