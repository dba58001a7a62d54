package risk

import (
	"slices"
	"strings"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// maxReported bounds the lists of a report; the counts beside them are whole.
const maxReported = 200

// Report is what a policy would have done with payments that are there already.
type Report struct {
	Payments  int // looked at
	Truncated bool
	Fired     []RuleCount
	Trusted   int // decisions that only told people, because the customer is trusted
	Blocked   int // different subjects blocked or held
	Canceled  int // payments still open that would be closed
	Refunded  int // captures that would be given back
	Total     []payment.Money
	Decisions []Decision    // the first maxReported
	Refunds   []WouldRefund // the first maxReported
}

// RuleCount is how often a rule fired, and for how many subjects.
type RuleCount struct {
	Rule     Name
	Count    int
	Subjects int
}

// WouldRefund is one capture that would be given back.
type WouldRefund struct {
	Decision string
	Payment  string
	Capture  string
	Amount   payment.Money
}

// acting is the policy with none of its rules dry.
func (p Policy) acting() Policy {
	p.Rules = slices.Clone(p.Rules)
	for i := range p.Rules {
		p.Rules[i].DryRun, p.Rules[i].Confirm = false, false
	}
	return p
}

// simulation is one run of Simulate.
type simulation struct {
	report   Report
	policy   func(app string, mode payment.Mode) Policy
	byID     map[string]*payment.Payment
	subjects map[string]Subject
	ofWhom   map[string][]string // payments by the subject that stands for their customer
	blocked  map[Ref]bool
	canceled map[string]bool
	refunded map[string]bool
	totals   map[payment.Currency]int64
}

// Simulate plays payments through a policy, news by news in the order of the
// provider's times, as if no rule were dry. It reads what could be given back or closed
// off the payments as they are now. Account rates and blocks set by hand are left out.
func Simulate(policy func(app string, mode payment.Mode) Policy, payments []*payment.Payment) Report {
	s := simulation{
		policy: policy, byID: map[string]*payment.Payment{}, subjects: map[string]Subject{}, ofWhom: map[string][]string{},
		blocked: map[Ref]bool{}, canceled: map[string]bool{}, refunded: map[string]bool{}, totals: map[payment.Currency]int64{},
	}
	s.report.Payments = len(payments)
	var news []Sighting
	for _, x := range payments {
		s.byID[x.ID] = x
		primary := SubjectID(x.App, x.Mode, Primary(x))
		s.ofWhom[primary] = append(s.ofWhom[primary], x.ID)
		news = append(news, Sightings(x)...)
	}
	slices.SortFunc(news, Sighting.before)
	for _, x := range news {
		s.take(x)
	}
	s.finish()
	return s.report
}

// take brings one piece of news to everybody it concerns.
func (s *simulation) take(x Sighting) {
	p := s.byID[x.Payment]
	refs := []Ref{Primary(p)}
	if x.Card != "" {
		refs = append(refs, Ref{KindCard, x.Card})
	}
	if x.Payer != "" {
		refs = append(refs, Ref{KindPayer, x.Payer})
	}
	for _, ref := range refs {
		id := SubjectID(p.App, p.Mode, ref)
		subject, known := s.subjects[id]
		if !known {
			subject = NewSubject(p.App, p.Mode, ref)
		}
		if s.blocked[ref] && (x.Kind == payment.SignalPayer || x.Kind == payment.SignalPaid) {
			x.Blocked = id
		}
		subject, _ = subject.Take(s.policy(p.App, p.Mode).acting(), []Sighting{x})
		for _, d := range subject.Outbox {
			s.apply(id, d)
		}
		subject.Outbox = nil
		s.subjects[id] = subject
	}
}

// apply counts what a decision would do.
func (s *simulation) apply(subject string, d Decision) {
	at := slices.IndexFunc(s.report.Fired, func(c RuleCount) bool { return c.Rule == d.Rule })
	if at < 0 {
		s.report.Fired = append(s.report.Fired, RuleCount{Rule: d.Rule})
		at = len(s.report.Fired) - 1
	}
	s.report.Fired[at].Count++
	if len(s.report.Decisions) < maxReported {
		s.report.Decisions = append(s.report.Decisions, d)
	}
	if d.Trusted {
		s.report.Trusted++
	}
	if d.Has(ActBlock) || d.Has(ActHold) {
		s.blocked[d.Subject] = true
	}
	targets := slices.Clone(d.Payments)
	if d.Scope == ScopeSubject {
		targets = append(targets, s.ofWhom[subject]...)
	}
	for _, id := range targets {
		s.hit(d, s.byID[id])
	}
}

func (s *simulation) hit(d Decision, p *payment.Payment) {
	if p == nil {
		return
	}
	switch p.Status() {
	case payment.StatusRequiresAction, payment.StatusAuthorized:
		if d.Has(ActCancel) {
			s.canceled[p.ID] = true
		}
	case payment.StatusProcessing, payment.StatusConflicted, payment.StatusSucceeded, payment.StatusCanceled, payment.StatusExpired, payment.StatusFailed:
	}
	if !d.Has(ActRefund) {
		return
	}
	for _, owed := range p.Returnable() {
		if key := p.ID + owed.Capture; !s.refunded[key] {
			s.refunded[key] = true
			s.totals[owed.Amount.Currency] += owed.Amount.Minor
			if len(s.report.Refunds) < maxReported {
				s.report.Refunds = append(s.report.Refunds, WouldRefund{Decision: d.ID, Payment: p.ID, Capture: owed.Capture, Amount: owed.Amount})
			}
		}
	}
}

func (s *simulation) finish() {
	whom := map[Name]map[string]bool{}
	for id, subject := range s.subjects {
		for _, f := range subject.Fired {
			name, _, _ := strings.Cut(f.Rule, "/")
			if whom[Name(name)] == nil {
				whom[Name(name)] = map[string]bool{}
			}
			whom[Name(name)][id] = true
		}
	}
	for i := range s.report.Fired {
		s.report.Fired[i].Subjects = len(whom[s.report.Fired[i].Rule])
	}
	slices.SortFunc(s.report.Fired, func(a, b RuleCount) int { return strings.Compare(string(a.Rule), string(b.Rule)) })
	s.report.Blocked, s.report.Canceled, s.report.Refunded = len(s.blocked), len(s.canceled), len(s.refunded)
	for c, minor := range s.totals {
		s.report.Total = append(s.report.Total, payment.Money{Minor: minor, Currency: c})
	}
	slices.SortFunc(s.report.Total, func(a, b payment.Money) int { return strings.Compare(string(a.Currency), string(b.Currency)) })
}
