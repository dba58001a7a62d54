package httpapi

import (
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

type subjectWire struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

type blockWire struct {
	ID        string           `json:"id"`
	Object    string           `json:"object"`
	App       *string          `json:"app"` // null: every app
	Mode      *string          `json:"mode"`
	Subject   subjectWire      `json:"subject"`
	Effect    string           `json:"effect"`
	State     string           `json:"state"`
	Reason    string           `json:"reason"`
	Decision  *string          `json:"decision"`
	ExpiresAt *time.Time       `json:"expires_at"`
	CreatedAt time.Time        `json:"created_at"`
	UpdatedAt time.Time        `json:"updated_at"`
	Log       []blockEntryWire `json:"log"`
}

type blockEntryWire struct {
	At     time.Time `json:"at"`
	Actor  actorWire `json:"actor"`
	What   string    `json:"what"`
	Effect *string   `json:"effect"`
	Reason string    `json:"reason"`
}

func blockOf(b risk.Block, now time.Time) blockWire {
	w := blockWire{
		ID: b.ID, Object: "block", Mode: opt(string(b.Mode)), Subject: subjectWire{string(b.Subject.Kind), b.Subject.Value}, Effect: string(b.Effect),
		State: "active", Reason: b.Reason, Decision: opt(b.Decision), ExpiresAt: optTime(b.ExpiresAt), CreatedAt: b.CreatedAt.UTC(),
		UpdatedAt: b.UpdatedAt.UTC(), Log: []blockEntryWire{},
	}
	if b.App != risk.AnyApp {
		w.App = opt(b.App)
	}
	switch {
	case !b.Active:
		w.State = "lifted"
	case !b.In(now):
		w.State = "expired"
	}
	for _, e := range b.Log {
		w.Log = append(w.Log, blockEntryWire{
			At: e.At.UTC(), Actor: actorWire{Type: e.By.Type, ID: opt(e.By.ID)}, What: e.What, Effect: opt(string(e.Effect)), Reason: e.Reason,
		})
	}
	return w
}

type decisionWire struct {
	ID         string         `json:"id"`
	Object     string         `json:"object"`
	App        *string        `json:"app"`
	Mode       *string        `json:"mode"`
	Rule       string         `json:"rule"`
	Subject    subjectWire    `json:"subject"`
	Actions    []string       `json:"actions"`
	State      string         `json:"state"`
	Trusted    bool           `json:"trusted"`
	Reason     string         `json:"reason"`
	Payments   []string       `json:"payments"`
	Evidence   []evidenceWire `json:"evidence"`
	Steps      []stepWire     `json:"steps"`
	Note       *string        `json:"note"`
	JudgedBy   *actorWire     `json:"judged_by"`
	JudgedAt   *time.Time     `json:"judged_at"`
	JudgedWhy  *string        `json:"judged_reason"`
	HappenedAt time.Time      `json:"happened_at"`
	CreatedAt  time.Time      `json:"created_at"`
	UpdatedAt  time.Time      `json:"updated_at"`
}

type evidenceWire struct {
	Kind        string     `json:"kind"`
	At          time.Time  `json:"at"`
	Payment     string     `json:"payment"`
	Account     *string    `json:"account"`
	ProviderRef *string    `json:"provider_ref"`
	Code        *string    `json:"code"`
	DeclineCode *string    `json:"decline_code"`
	Card        *string    `json:"card_fingerprint"`
	Payer       *string    `json:"payer"`
	Amount      *moneyWire `json:"amount"`
}

type stepWire struct {
	Action  string     `json:"action"`
	Payment string     `json:"payment"`
	Capture *string    `json:"capture"`
	Amount  *moneyWire `json:"amount"`
	State   string     `json:"state"`
	Note    *string    `json:"note"`
	At      time.Time  `json:"at"`
}

func optMoney(m payment.Money) *moneyWire {
	if m == (payment.Money{}) {
		return nil
	}
	w := moneyOf(m)
	return &w
}

func decisionOf(d risk.Decision) decisionWire {
	w := decisionWire{
		ID: d.ID, Object: "risk_decision", Mode: opt(string(d.Mode)), Rule: string(d.Rule), Subject: subjectWire{string(d.Subject.Kind), d.Subject.Value},
		Actions: words(d.Actions), State: string(d.State), Trusted: d.Trusted, Reason: d.Reason, Payments: []string{}, Evidence: []evidenceWire{},
		Steps: []stepWire{}, Note: opt(d.Note), JudgedAt: optTime(d.ByAt), JudgedWhy: opt(d.ByReason), HappenedAt: d.At.UTC(),
		CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
	}
	if d.App != risk.AnyApp {
		w.App = opt(d.App)
	}
	if d.By.Type != "" {
		w.JudgedBy = &actorWire{Type: d.By.Type, ID: opt(d.By.ID)}
	}
	w.Payments = append(w.Payments, d.Payments...)
	for _, e := range d.Evidence {
		w.Evidence = append(w.Evidence, evidenceWire{
			Kind: string(e.Kind), At: e.At.UTC(), Payment: e.Payment, Account: opt(e.Account), ProviderRef: opt(e.Object), Code: opt(e.Code),
			DeclineCode: opt(e.Detail), Card: opt(e.Card), Payer: opt(e.Payer), Amount: optMoney(e.Amount),
		})
	}
	for _, s := range d.Steps {
		w.Steps = append(w.Steps, stepWire{
			Action: string(s.Action), Payment: s.Payment, Capture: opt(s.Capture), Amount: optMoney(s.Amount), State: string(s.State),
			Note: opt(s.Note), At: s.At.UTC(),
		})
	}
	return w
}

type reportWire struct {
	Object    string         `json:"object"`
	Days      int64          `json:"days"`
	Payments  int            `json:"payments"`
	Truncated bool           `json:"truncated"`
	Rules     []ruleWire     `json:"rules"`
	Trusted   int            `json:"trusted"`
	Blocked   int            `json:"would_block"`
	Canceled  int            `json:"would_cancel"`
	Refunded  int            `json:"would_refund"`
	Total     []moneyWire    `json:"would_refund_total"`
	Decisions []decisionWire `json:"decisions"`
	Refunds   []wouldWire    `json:"refunds"`
}

type ruleWire struct {
	Rule     string `json:"rule"`
	Fired    int    `json:"fired"`
	Subjects int    `json:"subjects"`
}

type wouldWire struct {
	Decision string    `json:"decision"`
	Payment  string    `json:"payment"`
	Capture  string    `json:"capture"`
	Amount   moneyWire `json:"amount"`
}

func reportOf(r risk.Report, days int64) reportWire {
	w := reportWire{
		Object: "risk_report", Days: days, Payments: r.Payments, Truncated: r.Truncated, Rules: []ruleWire{}, Trusted: r.Trusted, Blocked: r.Blocked,
		Canceled: r.Canceled, Refunded: r.Refunded, Total: []moneyWire{}, Decisions: []decisionWire{}, Refunds: []wouldWire{},
	}
	for _, c := range r.Fired {
		w.Rules = append(w.Rules, ruleWire{Rule: string(c.Rule), Fired: c.Count, Subjects: c.Subjects})
	}
	for _, m := range r.Total {
		w.Total = append(w.Total, moneyOf(m))
	}
	for _, d := range r.Decisions {
		w.Decisions = append(w.Decisions, decisionOf(d))
	}
	for _, x := range r.Refunds {
		w.Refunds = append(w.Refunds, wouldWire{Decision: x.Decision, Payment: x.Payment, Capture: x.Capture, Amount: moneyOf(x.Amount)})
	}
	return w
}
