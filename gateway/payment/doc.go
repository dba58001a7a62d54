// Package payment is the heart of Trifecta: what a payment is, which facts a
// provider can report about it, how those facts merge, which status they add
// up to, and which step is due next.
//
// It is pure. It has no clock, no randomness, no context and does no I/O: time
// and ids come in as arguments, and everything here can be tested by calling
// it. It must never learn about HTTP, a database or a provider's wire format.
//
// Three ideas carry it:
//
//   - Facts are sets of provider objects, never deltas and never totals.
//     Merging them is commutative, associative and idempotent, so the order in
//     which webhooks, redirects and sweeps arrive does not matter.
//   - Status is computed in one place, Payment.Status, by a table that is also
//     printed into docs/state-machine.md: from the facts, and from captures that
//     were sent and have no answer yet.
//   - What must be told to a provider is an Operation, written down with its
//     idempotency key before the call is made.
package payment
