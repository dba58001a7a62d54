package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Discrepancy is a difference between a provider's list and our record that reading
// again did not explain.
type Discrepancy struct {
	ID, Kind, Severity string
	State              string // open | resolved
	Provider, Account  string
	Mode               payment.Mode
	ObjectKind, Object string        // at the provider
	Amount             payment.Money // signed as the provider lists it; zero where it names none
	Payment, App       string        // the payment concerned, and its app where it is known
	Evidence           string        // in our words
	Run                string        // that found it
	OccurredAt         time.Time     // provider time
	SeenAt             time.Time
	By                 payment.Actor // who resolved it, like Reason and ResolvedAt
	Reason             string
	ResolvedAt         time.Time
}

// DiscrepancyFilter narrows a list of discrepancies. Zero values do not filter; Limit
// is 1 to 100.
type DiscrepancyFilter struct {
	State, Payment string
	Limit          int
	After          string
}

// DiscrepancyResolution is an operator's word on a discrepancy. Request names the
// request that says so: the same again changes nothing, and with another Fingerprint it
// is idempotency_key_reused.
type DiscrepancyResolution struct {
	Reason, Request, Fingerprint string
}

// Discrepancies is where differences are read, an app's own ones (App and Mode of the
// caller) or by an operator all of them, and resolved by operators. replayed says that
// the request had resolved it before. Errors are gateway's, or a *payment.Error.
type Discrepancies interface {
	ListDiscrepancies(ctx context.Context, c gateway.Caller, f DiscrepancyFilter) (found []Discrepancy, next string, err error)
	ResolveDiscrepancy(ctx context.Context, c gateway.Caller, id string, r DiscrepancyResolution) (d Discrepancy, replayed bool, err error)
}

type discrepancyWire struct {
	ID         string       `json:"id"`
	Object     string       `json:"object"`
	Kind       string       `json:"kind"`
	Severity   string       `json:"severity"`
	State      string       `json:"state"`
	Provider   string       `json:"provider"`
	Account    string       `json:"account"`
	Mode       payment.Mode `json:"mode"`
	Listed     listedWire   `json:"provider_object"`
	Amount     *moneyWire   `json:"amount"`
	Payment    *string      `json:"payment"`
	App        *string      `json:"app"`
	Evidence   string       `json:"evidence"`
	Run        string       `json:"run"`
	OccurredAt *time.Time   `json:"occurred_at"`
	SeenAt     time.Time    `json:"seen_at"`
	ResolvedBy *actorWire   `json:"resolved_by"`
	ResolvedAt *time.Time   `json:"resolved_at"`
	Reason     *string      `json:"reason"`
}

// listedWire is the object as the provider lists it.
type listedWire struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

func discrepancyOf(d Discrepancy) discrepancyWire {
	w := discrepancyWire{
		ID: d.ID, Object: "discrepancy", Kind: d.Kind, Severity: d.Severity, State: d.State, Provider: d.Provider, Account: d.Account, Mode: d.Mode,
		Listed: listedWire{d.ObjectKind, d.Object}, Amount: optMoney(d.Amount), Payment: opt(d.Payment), App: opt(d.App), Evidence: d.Evidence,
		Run: d.Run, OccurredAt: optTime(d.OccurredAt), SeenAt: d.SeenAt.UTC(), ResolvedAt: optTime(d.ResolvedAt), Reason: opt(d.Reason),
	}
	if d.By.Type != "" {
		w.ResolvedBy = &actorWire{Type: d.By.Type, ID: opt(d.By.ID)}
	}
	return w
}

func (a *api) listDiscrepancies(c *gin.Context) error {
	if a.opts.Discrepancies == nil {
		return notServed()
	}
	q, err := parseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	f := DiscrepancyFilter{State: q.text("state", 20), Payment: q.text("payment", 64)}
	if f.State != "" && f.State != "open" && f.State != "resolved" {
		q.f.add("?state", "must be open or resolved")
	}
	if f.Payment != "" && !objectID(f.Payment) {
		q.f.add("?payment", "must be a payment's id")
	}
	f.Limit, f.After = q.page(defaultPage)
	if err := q.err(); err != nil {
		return err
	}
	found, next, err := a.opts.Discrepancies.ListDiscrepancies(c.Request.Context(), callerOf(c), f)
	return answerList(a, c, found, next, err, discrepancyOf)
}

func (a *api) resolveDiscrepancy(c *gin.Context) error {
	if a.opts.Discrepancies == nil {
		return notServed()
	}
	id, err := idParam(c, "dis")
	if err != nil {
		return err
	}
	b, err := bindJudge(body(c))
	if err != nil {
		return err
	}
	if b.Reason == "" {
		return payment.Invalid("/reason", "is required")
	}
	path := "/v1/discrepancies/" + id + "/resolve"
	r, err := a.request(c, path, b)
	if err != nil {
		return err
	}
	d, replayed, err := a.opts.Discrepancies.ResolveDiscrepancy(c.Request.Context(), callerOf(c), id, DiscrepancyResolution{
		Reason: b.Reason, Request: payment.DeriveID("req", "v1", "POST", path, r.Key), Fingerprint: r.Fingerprint,
	})
	if err != nil {
		return portError(err)
	}
	markReplay(c, replayed)
	return a.json(c, http.StatusOK, discrepancyOf(d))
}
