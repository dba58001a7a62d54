package httpapi

import (
	"time"

	"github.com/trifecta-pay/trifecta/gateway"

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

// disputeRecordWire is a dispute as it is listed.
type disputeRecordWire struct {
	disputeWire
	App       *string              `json:"app"`
	Orphan    bool                 `json:"orphan"`
	Evidence  *disputeEvidenceWire `json:"evidence"`
	Money     []moveWire           `json:"money"`
	History   []caseWire           `json:"history"`
	Policy    *policyWire          `json:"policy"`
	Links     disputeLinkWire      `json:"links"`
	ClosedAt  *time.Time           `json:"closed_at"`
	UpdatedAt time.Time            `json:"updated_at"`
}

// moveWire is money that a dispute moves or moved, positive when it left us.
type moveWire struct {
	Type   string    `json:"type"`
	Amount moneyWire `json:"amount"`
}

// policyWire is what the app's policy decided last, and what became of it.
type policyWire struct {
	Decision string    `json:"decision"`
	State    string    `json:"state"`
	Reason   *string   `json:"reason"`
	At       time.Time `json:"at"`
}

type disputeLinkWire struct {
	Payment  *string `json:"payment"`
	Accept   *string `json:"accept"`
	Evidence *string `json:"submit_evidence"`
}

type disputeEvidenceWire struct {
	ID        string             `json:"id"`
	Submitted bool               `json:"submitted"`
	Texts     map[string]string  `json:"texts"`
	Files     []evidenceFileWire `json:"files"`
	By        *actorWire         `json:"by"`
	At        *time.Time         `json:"at"`
}

type evidenceFileWire struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Media string `json:"media_type"`
	Size  int64  `json:"size"`
}

type caseWire struct {
	At       time.Time             `json:"at"`
	Event    string                `json:"event"`
	Actor    actorWire             `json:"actor"`
	Layer    string                `json:"layer"`
	Reason   *string               `json:"reason"`
	Status   payment.DisputeStatus `json:"status"`
	Stage    string                `json:"stage"`
	Amount   moneyWire             `json:"amount"`
	Withheld int64                 `json:"withheld"`
	Evidence *string               `json:"evidence"`
}

func disputeRecordOf(r gateway.DisputeRecord) disputeRecordWire {
	w := disputeRecordWire{
		disputeWire: disputeOf(r.Payment, r.Dispute), App: opt(r.App), Orphan: r.Orphan(), ClosedAt: optTime(r.ClosedAt), UpdatedAt: r.UpdatedAt.UTC(),
		Money: []moveWire{}, History: []caseWire{},
	}
	if r.Dispute.Withheld > 0 {
		w.Money = append(w.Money, moveWire{Type: "withheld", Amount: moneyWire{Amount: r.Dispute.Withheld, Currency: r.Dispute.Amount.Currency}})
	}
	for _, fee := range r.Fees {
		w.Money = append(w.Money, moveWire{Type: "fee", Amount: moneyOf(fee)})
	}
	for _, line := range r.History {
		w.History = append(w.History, caseWire{
			At: line.At.UTC(), Event: line.What, Actor: actorWire{Type: line.By.Type, ID: opt(line.By.ID)}, Layer: string(line.Layer),
			Reason: opt(line.Reason), Status: line.Status, Stage: line.Stage, Amount: moneyOf(line.Amount), Withheld: line.Withheld, Evidence: opt(line.Evidence),
		})
	}
	if p, ok := r.Policy(); ok {
		w.Policy = &policyWire{Decision: p.Decision, State: string(p.State), Reason: opt(p.Reason), At: p.At.UTC()}
	}
	if r.Orphan() {
		return w
	}
	self := "/v1/disputes/" + r.ID
	w.Links.Payment = opt("/v1/payments/" + r.Payment)
	if r.Dispute.Acceptable {
		w.Links.Accept = opt(self + "/accept")
	}
	if r.Dispute.Answerable {
		w.Links.Evidence = opt(self + "/evidence")
	}
	if r.Evidence != "" {
		w.Evidence = &disputeEvidenceWire{ID: r.Evidence, Submitted: r.Submitted(), Texts: map[string]string{}, Files: []evidenceFileWire{}}
	}
	return w
}

// disputeViewOf is a dispute with the evidence that stands.
func disputeViewOf(v gateway.DisputeView) disputeRecordWire {
	w := disputeRecordOf(v.DisputeRecord)
	if w.Evidence == nil {
		return w
	}
	w.Evidence.By = &actorWire{Type: v.Standing.By.Type, ID: opt(v.Standing.By.ID)}
	w.Evidence.At = optTime(v.Standing.At)
	for kind, text := range v.Standing.Texts {
		w.Evidence.Texts[kind] = text
	}
	for _, f := range v.Standing.Files {
		w.Evidence.Files = append(w.Evidence.Files, evidenceFileWire{Name: f.Name, Type: f.Type, Media: f.Media, Size: f.Size})
	}
	return w
}
