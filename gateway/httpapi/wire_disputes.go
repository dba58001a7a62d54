package httpapi

import (
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// disputeWire is a dispute as it stands in a payment and in events.
type disputeWire struct {
	ID          string                `json:"id"`
	Object      string                `json:"object"`
	Payment     *string               `json:"payment"`
	Provider    string                `json:"provider"`
	Account     string                `json:"account"`
	ProviderRef string                `json:"provider_ref"`
	Amount      int64                 `json:"amount"`
	Currency    payment.Currency      `json:"currency"`
	Stage       string                `json:"stage"`
	Status      payment.DisputeStatus `json:"status"`
	Reason      *string               `json:"reason"`
	DueBy       *time.Time            `json:"due_by"`
	Withheld    int64                 `json:"withheld"`
	CaseType    *string               `json:"case_type"`
	NetworkCode *string               `json:"network_reason_code"`
	Outcome     *string               `json:"outcome"`
	Capture     *string               `json:"capture"`
	Refundable  bool                  `json:"refund_prevents_loss"`
	Evidence    evidenceStateWire     `json:"evidence_state"`
	OpenedAt    time.Time             `json:"opened_at"`
}

type evidenceStateWire struct {
	Given     bool  `json:"has_evidence"`
	Submitted int64 `json:"submission_count"`
	PastDue   bool  `json:"past_due"`
}

func disputeOf(paymentID string, d payment.Dispute) disputeWire {
	return disputeWire{
		ID: payment.DisputeID(d.Key), Object: "dispute", Payment: opt(paymentID), Provider: d.Key.Provider, Account: d.Key.Account,
		ProviderRef: d.Key.ID, Amount: d.Amount.Minor, Currency: d.Amount.Currency, Stage: d.Stage, Status: d.Status,
		Reason: opt(d.Reason), DueBy: optTime(d.DueBy), Withheld: d.Withheld, CaseType: opt(d.Case), NetworkCode: opt(d.Network),
		Outcome: opt(d.Outcome), Capture: opt(d.Capture), Refundable: d.Refundable, OpenedAt: d.Created.UTC(),
		Evidence: evidenceStateWire{Given: d.Evidence.Given, Submitted: d.Evidence.Submitted, PastDue: d.Evidence.PastDue},
	}
}

// fraudWarningWire is an issuer's early report of fraud.
type fraudWarningWire struct {
	ID          string    `json:"id"`
	Object      string    `json:"object"`
	Payment     string    `json:"payment"`
	Provider    string    `json:"provider"`
	Account     string    `json:"account"`
	ProviderRef string    `json:"provider_ref"`
	Capture     *string   `json:"capture"`
	Actionable  bool      `json:"actionable"`
	FraudType   *string   `json:"fraud_type"`
	CreatedAt   time.Time `json:"created_at"`
}

func fraudWarningOf(p *payment.Payment, w payment.FraudWarning) fraudWarningWire {
	return fraudWarningWire{
		ID: payment.FraudWarningID(w.Key), Object: "fraud_warning", Payment: p.ID, Provider: w.Key.Provider, Account: w.Key.Account,
		ProviderRef: w.Key.ID, Capture: opt(w.Capture), Actionable: w.Actionable, FraudType: opt(w.FraudType), CreatedAt: w.Created.UTC(),
	}
}
