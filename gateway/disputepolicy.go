package gateway

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// DisputePolicy is what an app wants done by itself when a dispute opens that takes
// money and waits for an answer. The zero value does nothing. Inquiries are left to
// people: nothing is lost by them yet.
type DisputePolicy struct {
	// AcceptUnder: disputes of less than this many minor units of their currency are
	// given up.
	AcceptUnder map[payment.Currency]int64
	// AlertAbove: disputes of more than this raise a critical alert and are left to
	// people, whatever else is configured.
	AlertAbove map[payment.Currency]int64
	// Contest is submitted as evidence for all others: texts by kind, with
	// placeholders such as {{payment.reference}}. Empty: nothing is submitted.
	Contest map[string]string
	// DryRun writes down what would have been done, and does nothing.
	DryRun bool
}

// mark is a placeholder in a template.
var mark = regexp.MustCompile(`{{[^}]*}}`)

// Check says what of a policy's template makes no sense: kinds of evidence that do
// not exist, and placeholders that nothing would be put in.
func (p DisputePolicy) Check() error {
	for kind, text := range p.Contest {
		if !slices.Contains(payment.EvidenceTexts(), kind) {
			return fmt.Errorf("contest: %q is no kind of evidence; the kinds are %s", kind, strings.Join(payment.EvidenceTexts(), ", "))
		}
		for _, m := range mark.FindAllString(text, -1) {
			if !slices.Contains(Placeholders(), strings.Trim(m, "{}")) {
				return fmt.Errorf("contest: %s: nothing is known to put for %s; there are %s", kind, m, strings.Join(Placeholders(), ", "))
			}
		}
	}
	return nil
}

// policyWord is what a policy decided on one dispute.
type policyWord string

const (
	policyNothing policyWord = ""
	policyAccept  policyWord = "accept"
	policyAlert   policyWord = "alert"
	policyContest policyWord = "contest"
)

// policyChanged is the failure of an order that a policy gave and would not give any more.
const policyChanged = "policy_changed"

// PolicyState is how far an app's policy got with a dispute.
type PolicyState string

// The states of a policy's decision.
const (
	PolicyDryRun  PolicyState = "dry_run" // written down, nothing done
	PolicyDecided PolicyState = "decided" // ordered, or people were told
	PolicyDone    PolicyState = "done"
	PolicyFailed  PolicyState = "failed" // Reason is why
	PolicyLapsed  PolicyState = "lapsed" // not done in time: dispute or policy is another by now, people must answer
)

// PolicyOutcome is what a policy decided last on a dispute, and what became of it.
type PolicyOutcome struct {
	Decision string // accept, contest, alert
	State    PolicyState
	Reason   string
	At       time.Time
}

// Policy reads off the history what the app's policy did last; false if nothing.
func (r DisputeRecord) Policy() (out PolicyOutcome, ok bool) {
	for _, line := range r.History {
		if line.By.Type != payment.ActorPolicy {
			continue
		}
		decision, decided := strings.CutPrefix(line.What, "policy_")
		switch {
		case decided:
			out, ok = PolicyOutcome{Decision: decision, State: PolicyDecided, Reason: line.Reason}, true
			if decision, dry := strings.CutSuffix(decision, "_dry_run"); dry {
				out.Decision, out.State = decision, PolicyDryRun
			}
		case strings.HasSuffix(line.What, "_done"):
			out.State = PolicyDone
		case strings.HasSuffix(line.What, "_failed") && line.Reason == policyChanged:
			out.State = PolicyLapsed
		case strings.HasSuffix(line.What, "_failed"):
			out.State, out.Reason = PolicyFailed, line.Reason
		default:
			continue
		}
		out.At = line.At
	}
	return out, ok
}

// decide is pure: what this policy wants for a dispute, and why.
func (p DisputePolicy) decide(d payment.Dispute) (policyWord, string) {
	if d.Stage == payment.StageInquiry || d.Status != payment.DisputeNeedsResponse || d.Unclear {
		return policyNothing, ""
	}
	if limit, ok := p.AlertAbove[d.Amount.Currency]; ok && d.Amount.Minor > limit {
		return policyAlert, fmt.Sprintf("%d %s is above the alert limit of %d", d.Amount.Minor, d.Amount.Currency, limit)
	}
	if limit, ok := p.AcceptUnder[d.Amount.Currency]; ok && d.Amount.Minor < limit && d.Acceptable {
		return policyAccept, fmt.Sprintf("%d %s is under the limit of %d for contesting", d.Amount.Minor, d.Amount.Currency, limit)
	}
	if len(p.Contest) > 0 && d.Answerable {
		return policyContest, "the app's template"
	}
	return policyNothing, ""
}

// undecided says that nothing was decided on a dispute because of what its provider has
// not said yet: what it is, or that it takes the answer that would be given.
func (p DisputePolicy) undecided(d payment.Dispute) bool {
	if word, _ := p.decide(d); word != policyNothing || d.Stage == payment.StageInquiry {
		return false
	}
	d.Unclear, d.Acceptable, d.Answerable = false, true, true
	word, _ := p.decide(d)
	return word != policyNothing
}

// Placeholders lists what may stand in a template between {{ and }}.
func Placeholders() []string {
	return slices.Sorted(maps.Keys(placeholders(&payment.Payment{}, payment.Dispute{})))
}

// placeholders are what is known of a payment and its dispute. What was erased is known no
// more: a bank must not read that something was.
func placeholders(p *payment.Payment, d payment.Dispute) map[string]string {
	out := map[string]string{
		"payment.id": p.ID, "payment.reference": p.Request.Reference, "payment.description": payment.Known(p.Request.Description),
		"payment.created": p.CreatedAt.UTC().Format("2006-01-02"), "customer.ref": p.Request.Customer.Ref,
		"customer.email": p.Request.Customer.KnownEmail(), "customer.name": payment.Known(p.Request.Customer.Name),
		"dispute.id": payment.DisputeID(d.Key), "dispute.reason": d.Reason, "dispute.capture": d.Capture,
	}
	var lines []string
	for _, item := range p.Request.LineItems {
		lines = append(lines, fmt.Sprintf("%d x %s", item.Quantity, item.Name))
	}
	out["payment.items"] = strings.Join(lines, "\n")
	return out
}

// fill puts values into a template's texts. One whose placeholders are all empty is
// left out: a sentence about nothing is no evidence.
func fill(template map[string]string, values map[string]string) map[string]string {
	out := map[string]string{}
	for kind, text := range template {
		used, empty := 0, 0
		for name, value := range values {
			if mark := "{{" + name + "}}"; strings.Contains(text, mark) {
				used++
				if value == "" {
					empty++
				}
				text = strings.ReplaceAll(text, mark, value)
			}
		}
		if text = strings.TrimSpace(text); text != "" && (used == 0 || empty < used) {
			out[kind] = text
		}
	}
	return out
}

// police applies the app's policy to a dispute that waits for an answer, once for each
// of its stages. over says that this stage needs no further look.
func (s *Service) police(ctx context.Context, r DisputeRecord) (over bool, err error) {
	if r.Orphan() {
		return false, nil // its app is not known yet
	}
	app, ok := s.app(r.App, r.Mode)
	if !ok {
		return true, nil
	}
	word, reason := app.Disputes.decide(r.Dispute)
	if word == policyNothing {
		return !app.Disputes.undecided(r.Dispute), nil
	}
	return true, s.follow(ctx, r, app.Disputes, word, reason)
}

// follow writes down what a policy decided, and does it.
func (s *Service) follow(ctx context.Context, r DisputeRecord, policy DisputePolicy, word policyWord, reason string) error {
	src := payment.Source{Layer: payment.LayerAPI, Actor: payment.Actor{Type: payment.ActorPolicy, ID: r.App}, Reason: reason}
	line := payment.DeriveID("cas", r.ID, "policy", r.Dispute.Stage)
	what := "policy_" + string(word)
	if policy.DryRun {
		what += "_dry_run"
		s.log.InfoContext(ctx, "dispute policy, dry run: nothing is done", "dispute", r.ID, "payment", r.Payment, "decision", word, "reason", reason)
	}
	decided, err := s.change(ctx, r.Payment, src, func(c *payment.Payment) error {
		if d, ok := c.DisputeOf(r.ID); ok && !slices.ContainsFunc(r.History, func(h payment.CaseEntry) bool { return h.ID == line }) {
			c.Decide(d, line, what, reason, src, s.now())
		}
		return nil
	})
	if err != nil || policy.DryRun {
		return err
	}
	switch word {
	case policyAlert:
		return s.policyAlert(ctx, r, reason)
	case policyAccept, policyContest:
		return s.policyOrder(ctx, decided, r, word, reason, src, policy.Contest)
	case policyNothing:
	}
	return nil
}

func (s *Service) policyAlert(ctx context.Context, r DisputeRecord, reason string) error {
	now := s.now()
	return storeOr(s.opts.Notify.Raise(ctx, AlertRecord{
		ID: payment.DeriveID("inc", r.ID, "dispute_policy", r.Dispute.Stage), App: r.App, Mode: r.Mode, Payment: r.Payment, Dispute: r.ID,
		Account: r.Dispute.Key.Account, Kind: "dispute_opened", Severity: "critical", State: "open",
		Message: "A dispute needs a decision: " + reason + ".", Count: 1, FirstSeen: now, LastSeen: now,
	}))
}

// policyOrder writes the answer down as an operation, like one that an app asks for.
// Where it can't be given any more (somebody answered meanwhile), it is left.
func (s *Service) policyOrder(ctx context.Context, p *payment.Payment, r DisputeRecord, word policyWord, reason string, src payment.Source, template map[string]string) error {
	cmd := payment.Command{ID: payment.DeriveID("op", p.ID, r.ID, "policy", r.Dispute.Stage), By: src.Actor, Now: s.now()}
	if p.Operation(cmd.ID) != nil {
		return nil
	}
	var evidence Evidence
	base := p.Evidence(r.Dispute)
	if word == policyContest {
		texts := fill(template, placeholders(p, r.Dispute))
		if len(texts) == 0 { // an answer is given once: one that says nothing is worse than none yet
			return s.policyAlert(ctx, r, "nothing is left of the policy's answer, because what it would say of this payment is not known or was erased")
		}
		var err error
		if evidence, err = s.draftEvidence(ctx, src.Actor, r.ID, base, EvidenceInput{Texts: texts}); err != nil {
			return s.policyRefused(ctx, r, err)
		}
		if err := s.checkEvidence(r.Dispute, evidence, true); err != nil {
			return s.policyRefused(ctx, r, err)
		}
		if err := s.keepEvidence(ctx, evidence, nil); err != nil {
			return err
		}
	}
	ordered, err := s.change(ctx, p.ID, src, func(c *payment.Payment) error {
		d, ok := c.DisputeOf(r.ID)
		if !ok || c.Operation(cmd.ID) != nil {
			return nil
		}
		if word == policyAccept {
			return c.RequestAccept(d, reason, cmd)
		}
		return c.RequestEvidence(d, evidence.ID, base, true, reason, cmd)
	})
	if err != nil {
		return s.policyRefused(ctx, r, err)
	}
	_, err = s.runDue(ctx, ordered, src)
	return err
}

// policyRefused: what a policy wanted can't be done. That is final for this stage,
// and a human must know; an unreachable store is neither.
func (s *Service) policyRefused(ctx context.Context, r DisputeRecord, err error) error {
	var known *payment.Error
	if !asError(err, &known) || known.Code == payment.CodeStoreUnavailable {
		return err
	}
	return s.policyAlert(ctx, r, "the policy's answer was refused: "+known.Message)
}

// lapsedPolicy says that an operation was ordered by an app's policy, has certainly not
// been done yet, and would not be ordered any more: the dispute is another one by now, or
// the policy is. A provider that was away for hours must not be told what held before.
func (s *Service) lapsedPolicy(p *payment.Payment, op payment.Operation) bool {
	if op.By.Type != payment.ActorPolicy || op.State != payment.OpPending || op.Unseen() {
		return false
	}
	words := map[payment.OpKind]policyWord{payment.OpAcceptDispute: policyAccept, payment.OpSubmitEvidence: policyContest}
	app, ok := s.app(p.App, p.Mode)
	if !ok || app.Disputes.DryRun {
		return true
	}
	for _, d := range p.Facts.Disputes {
		if d.Key.ID == op.Target && d.Key.Account == op.Account {
			word, _ := app.Disputes.decide(d)
			return word != words[op.Kind]
		}
	}
	return true
}
