package httpapi

import (
	"context"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

func (a *api) listBlocks(c *gin.Context) error {
	q, err := parseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	var f gateway.BlockFilter
	switch state := q.text("state", 20); state {
	case "":
	case "active", "lifted":
		active := state == "active"
		f.Active = &active
	default:
		q.f.add("?state", "must be active or lifted")
	}
	f.Limit, f.After = q.page(defaultPage)
	if err := q.err(); err != nil {
		return err
	}
	found, next, err := a.svc.Blocks(c.Request.Context(), callerOf(c), f)
	now := a.opts.Clock()
	return answerList(a, c, found, next, err, func(b risk.Block) blockWire { return blockOf(b, now) })
}

func (a *api) setBlock(c *gin.Context) error {
	b, err := bindBlock(body(c))
	if err != nil {
		return err
	}
	if b.Refund { // the block is the smaller part of what is asked
		if err := callerOf(c).Allow(gateway.ScopeRefundsWrite); err != nil {
			return err
		}
	}
	r, err := a.request(c, "/v1/blocks", b)
	if err != nil {
		return err
	}
	set, err := a.svc.SetBlock(c.Request.Context(), r, b.input())
	if err != nil {
		return err
	}
	w := blockOf(set.Block, a.opts.Clock())
	w.Decision = &set.Decision.ID
	markReplay(c, set.Replayed)
	return a.json(c, http.StatusCreated, w)
}

func (a *api) getBlock(c *gin.Context) error {
	id, err := idParam(c, "blk")
	if err != nil {
		return err
	}
	if err := noQuery(c.Request.URL.RawQuery); err != nil {
		return err
	}
	b, err := a.svc.Block(c.Request.Context(), callerOf(c), id)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, blockOf(b, a.opts.Clock()))
}

func (a *api) liftBlock(c *gin.Context) error {
	id, err := idParam(c, "blk")
	if err != nil {
		return err
	}
	q, err := parseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	reason := q.text("reason", 1000)
	if err := q.err(); err != nil {
		return err
	}
	b, err := a.svc.LiftBlock(c.Request.Context(), callerOf(c), id, reason)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, blockOf(b, a.opts.Clock()))
}

func (a *api) listDecisions(c *gin.Context) error {
	q, err := parseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	f := gateway.DecisionFilter{State: risk.State(q.text("state", 20)), Rule: risk.Name(q.text("rule", 40))}
	states := []risk.State{"", risk.Proposed, risk.DryRun, risk.Pending, risk.Applied, risk.Failed, risk.Reversed}
	if !slices.Contains(states, f.State) {
		q.f.add("?state", "must be a state of decisions")
	}
	if f.Rule != "" && f.Rule != risk.Manual && !slices.Contains(risk.Names(), f.Rule) {
		q.f.add("?rule", "must be a rule")
	}
	f.Limit, f.After = q.page(defaultPage)
	if err := q.err(); err != nil {
		return err
	}
	found, next, err := a.svc.Decisions(c.Request.Context(), callerOf(c), f)
	return answerList(a, c, found, next, err, decisionOf)
}

func (a *api) getDecision(c *gin.Context) error {
	id, err := idParam(c, "rde")
	if err != nil {
		return err
	}
	if err := noQuery(c.Request.URL.RawQuery); err != nil {
		return err
	}
	d, err := a.svc.Decision(c.Request.Context(), callerOf(c), id)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, decisionOf(d))
}

func (a *api) confirmDecision(c *gin.Context) error {
	return a.judgeDecision(c, "confirm", a.svc.ConfirmDecision)
}

func (a *api) reverseDecision(c *gin.Context) error {
	return a.judgeDecision(c, "reverse", a.svc.ReverseDecision)
}

type judge = func(context.Context, gateway.Request, string, string) (d risk.Decision, replayed bool, err error)

func (a *api) judgeDecision(c *gin.Context, verb string, fn judge) error {
	id, err := idParam(c, "rde")
	if err != nil {
		return err
	}
	b, err := bindJudge(body(c))
	if err != nil {
		return err
	}
	r, err := a.request(c, "/v1/risk/decisions/"+id+"/"+verb, b)
	if err != nil {
		return err
	}
	d, replayed, err := fn(c.Request.Context(), r, id, b.Reason)
	if err != nil {
		return err
	}
	markReplay(c, replayed)
	return a.json(c, http.StatusOK, decisionOf(d))
}

func (a *api) dryRun(c *gin.Context) error {
	b, err := bindDryRun(body(c))
	if err != nil {
		return err
	}
	report, err := a.svc.DryRun(c.Request.Context(), callerOf(c), b.input())
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, reportOf(report, b.Days))
}

type blockBody struct {
	App             string    `json:"app,omitempty"`
	Mode            string    `json:"mode,omitempty"`
	Customer        string    `json:"customer,omitempty"`
	Payer           string    `json:"payer,omitempty"`
	CardFingerprint string    `json:"card_fingerprint,omitempty"`
	Email           string    `json:"email,omitempty"`
	EmailHash       string    `json:"email_hash,omitempty"`
	Reason          string    `json:"reason"`
	ExpiresAt       time.Time `json:"expires_at,omitzero"`
	Cancel          bool      `json:"cancel"`
	Refund          bool      `json:"refund"`
}

func bindBlock(raw []byte) (blockBody, error) {
	b := blockBody{Cancel: true}
	err := bindObject(raw, func(o *object) {
		o.str("app", &b.App)
		o.enum("mode", &b.Mode, "test", "live")
		o.str("customer", &b.Customer)
		o.str("payer", &b.Payer)
		o.str("card_fingerprint", &b.CardFingerprint)
		o.str("email", &b.Email)
		o.str("email_hash", &b.EmailHash)
		o.str("reason", &b.Reason)
		o.moment("expires_at", &b.ExpiresAt)
		o.boolean("cancel", &b.Cancel)
		o.boolean("refund", &b.Refund)
	})
	return b, err
}

func (b blockBody) input() gateway.BlockInput {
	return gateway.BlockInput{
		App: b.App, Mode: payment.Mode(b.Mode), Customer: b.Customer, Payer: b.Payer, CardFingerprint: b.CardFingerprint, Email: b.Email,
		EmailHash: b.EmailHash, Reason: b.Reason, ExpiresAt: b.ExpiresAt, Cancel: b.Cancel, Refund: b.Refund,
	}
}

type judgeBody struct {
	Reason string `json:"reason"`
}

func bindJudge(raw []byte) (judgeBody, error) {
	var b judgeBody
	err := bindObject(raw, func(o *object) {
		o.str("reason", &b.Reason)
		if utf8.RuneCountInString(b.Reason) > 1000 || !printable(b.Reason) {
			o.f.add("/reason", "must have at most 1000 characters, without control characters")
		}
	})
	return b, err
}

type dryRunBody struct {
	App   string     `json:"app,omitempty"`
	Mode  string     `json:"mode,omitempty"`
	Days  int64      `json:"days"`
	Rules []ruleBody `json:"rules,omitempty"`
}

type ruleBody struct {
	Rule      string   `json:"rule"`
	Threshold int64    `json:"threshold,omitempty"`
	Window    int64    `json:"window,omitempty"` // seconds
	Min       int64    `json:"min,omitempty"`
	Codes     []string `json:"codes,omitempty"`
	Actions   []string `json:"actions,omitempty"`
}

func bindDryRun(raw []byte) (dryRunBody, error) {
	b := dryRunBody{Days: 30}
	err := bindOptional(raw, func(o *object) {
		o.str("app", &b.App)
		o.enum("mode", &b.Mode, "test", "live")
		o.integer("days", &b.Days, 1, gateway.MaxDryRunDays)
		o.list("rules", func(n node, at string) {
			var r ruleBody
			ro := o.f.object(n, at)
			ro.enum("rule", &r.Rule, words(risk.Names())...)
			ro.integer("threshold", &r.Threshold, 1, risk.MaxThreshold)
			ro.integer("window", &r.Window, 60, int64(risk.MaxWindow/time.Second))
			ro.integer("min", &r.Min, 1, risk.MaxThreshold)
			ro.texts("codes", &r.Codes)
			ro.texts("actions", &r.Actions)
			ro.done()
			b.Rules = append(b.Rules, r)
		})
	})
	return b, err
}

func words[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

// texts reads a list of strings.
func (o *object) texts(key string, dst *[]string) {
	o.list(key, func(n node, at string) {
		if n.kind != kindString {
			o.f.wrong(at, n, "a string")
			return
		}
		*dst = append(*dst, n.text)
	})
}

func (b dryRunBody) input() gateway.DryRunInput {
	in := gateway.DryRunInput{App: b.App, Mode: payment.Mode(b.Mode), Days: b.Days}
	for _, r := range b.Rules {
		rule := risk.Rule{
			Name: risk.Name(r.Rule), Threshold: r.Threshold, Window: time.Duration(r.Window) * time.Second, Min: r.Min, Codes: r.Codes,
		}
		for _, action := range r.Actions {
			rule.Actions = append(rule.Actions, risk.Action(action))
		}
		in.Rules = append(in.Rules, rule)
	}
	return in
}
