package gateway

import (
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Pauses say where no new checkout may be opened now. What was begun goes on:
// customers finish paying, and captures, refunds and reads are not held up.
type Pauses struct {
	// All pauses every account. nil: it does not.
	All *Pause `json:"paused,omitempty"`
	// Accounts are the paused ones, by their configured names.
	Accounts map[string]Pause `json:"paused_accounts,omitempty"`
}

// Pause is one decision not to take new payments. The reason is for operators;
// apps and customers don't see it.
type Pause struct {
	Reason string `json:"reason"`
}

// PausesSection names the settings section that holds Pauses.
const PausesSection = "payments"

// PausesKeys are the keys of that section.
func PausesKeys() []string { return []string{"paused", "paused_accounts"} }

// maxPauseReason bounds a reason, in characters.
const maxPauseReason = 500

// Check says what is wrong with pauses that an operator asks for: each names a
// configured account and says why.
func (p Pauses) Check(known func(account string) bool) []payment.FieldError {
	var out []payment.FieldError
	reason := func(at, text string) {
		if text == "" || utf8.RuneCountInString(text) > maxPauseReason {
			out = append(out, payment.FieldError{Pointer: at + "/reason", Rule: "must say why, in at most 500 characters"})
		}
	}
	if p.All != nil {
		reason("/paused", p.All.Reason)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Accounts)) {
		at := "/paused_accounts/" + name
		if !known(name) {
			out = append(out, payment.FieldError{Pointer: at, Rule: "is not a configured account"})
		}
		reason(at, p.Accounts[name].Reason)
	}
	return out
}

// paused says whether an account may open no new checkout now.
func (s *Service) paused(a *providers.Account) bool {
	p := s.opts.Pauses()
	_, one := p.Accounts[a.Info().Account]
	return p.All != nil || one
}

// unpaused leaves out the accounts that may open no checkout now.
func (s *Service) unpaused(accounts []*providers.Account) []*providers.Account {
	return slices.DeleteFunc(slices.Clone(accounts), s.paused)
}

func errPaused() error {
	return payment.NewError(payment.CodeProviderUnavailable, "New payments are paused here for now. Nothing was begun; repeat the request later with the same key.")
}
