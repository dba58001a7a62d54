package httpapi

import (
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

type historyWire struct {
	At      time.Time    `json:"at"`
	Actor   actorWire    `json:"actor"`
	Layer   string       `json:"layer"`
	Reason  string       `json:"reason"`
	Before  snapshotWire `json:"before"`
	After   snapshotWire `json:"after"`
	Version int64        `json:"version"`
	Request *string      `json:"request_id"`
}

type actorWire struct {
	Type string  `json:"type"`
	ID   *string `json:"id"`
}

type snapshotWire struct {
	Status  payment.Status `json:"status"`
	Amounts amountsWire    `json:"amounts"`
}

func historyOf(p *payment.Payment, h payment.HistoryEntry) historyWire {
	currency := p.Facts.Terms.Amount.Currency
	return historyWire{
		At: h.At.UTC(), Actor: actorWire{Type: h.Source.Actor.Type, ID: opt(h.Source.Actor.ID)}, Layer: string(h.Source.Layer), Reason: h.Source.Reason,
		Before:  snapshotWire{Status: h.Before.Status, Amounts: amountsOf(h.Before.Amounts, currency)},
		After:   snapshotWire{Status: h.After.Status, Amounts: amountsOf(h.After.Amounts, currency)},
		Version: h.Version, Request: opt(h.Source.Request),
	}
}

// movementWire is one movement of a payment's money. Amounts are positive; the
// type says which way it went.
type movementWire struct {
	ID          string      `json:"id"`
	Type        string      `json:"type"`
	Status      string      `json:"status"`
	Provider    string      `json:"provider"`
	Account     string      `json:"account"`
	ProviderRef *string     `json:"provider_ref"`
	Capture     *string     `json:"capture"`
	Dispute     *string     `json:"dispute"`
	Amount      moneyWire   `json:"amount"`
	Fee         []moneyWire `json:"fee"`
	Net         []moneyWire `json:"net"`
	CreatedAt   time.Time   `json:"created_at"`
}

// fundsOf lists the movements of a payment's money, newest first: what was
// captured, given back, taken back and withheld, each with its fee and net once
// the provider tells them.
func fundsOf(p *payment.Payment) []movementWire {
	var out []movementWire
	for _, c := range p.Facts.Captures {
		out = append(out, movement(p, c.Key, "capture", string(c.State), c.Amount, c.Created))
	}
	for _, r := range p.Refunds() {
		key := payment.ObjectKey{Provider: r.Provider, Account: r.Account, ID: r.ProviderRef}
		m := movement(p, key, "refund", string(r.State), r.Amount, r.CreatedAt)
		m.ID, m.Capture = r.ID, opt(r.Capture)
		out = append(out, m)
	}
	for _, r := range p.Facts.Reversals {
		m := movement(p, r.Key, "reversal", "completed", r.Amount, r.Created)
		m.Capture = opt(r.Capture)
		if r.Dispute != "" {
			m.Dispute = opt(payment.DisputeID(payment.ObjectKey{Provider: r.Key.Provider, Account: r.Key.Account, ID: r.Dispute}))
		}
		out = append(out, m)
	}
	for _, d := range p.Facts.Disputes {
		withheld := payment.Money{Minor: d.Withheld, Currency: d.Amount.Currency}
		m := movement(p, d.Key, "dispute", string(d.Status), withheld, d.Created)
		m.ID = payment.DisputeID(d.Key)
		m.Capture, m.Dispute = opt(d.Capture), opt(m.ID)
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b movementWire) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	return out
}

// movement is one row, with the fees that belong to its provider object.
func movement(p *payment.Payment, key payment.ObjectKey, kind, status string, amount payment.Money, at time.Time) movementWire {
	m := movementWire{
		ID:   payment.DeriveID("mov", p.ID, kind, key.Provider, key.Account, key.ID),
		Type: kind, Status: status, Provider: key.Provider, Account: key.Account, ProviderRef: opt(key.ID),
		Amount: moneyOf(amount), CreatedAt: at.UTC(),
	}
	for _, f := range p.Facts.Fees {
		if key.ID != "" && f.Object == key.ID && f.Key.Provider == key.Provider && f.Key.Account == key.Account {
			m.Fee, m.Net = append(m.Fee, moneyOf(f.Fee)), append(m.Net, moneyOf(f.Net))
		}
	}
	return m
}
