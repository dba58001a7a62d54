package gateway

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// BlockInput is a request to block somebody, not yet checked. Exactly one of the names
// is given; an e-mail address is kept by its hash only.
type BlockInput struct {
	App             string // operators: the app, empty for all of them
	Mode            payment.Mode
	Customer        string
	Payer           string
	CardFingerprint string
	Email           string
	EmailHash       string
	Reason          string
	ExpiresAt       time.Time
	Cancel          bool // close what is open, release what is held
	Refund          bool // give back what was taken and is not contested
}

// subject checks whom a block is about.
func (in BlockInput) subject() (risk.Ref, error) {
	var refs []risk.Ref
	add := func(kind risk.Kind, value string) {
		if value != "" {
			refs = append(refs, risk.Ref{Kind: kind, Value: value})
		}
	}
	add(risk.KindCustomer, in.Customer)
	add(risk.KindPayer, in.Payer)
	add(risk.KindCard, in.CardFingerprint)
	add(risk.KindEmail, strings.ToLower(in.EmailHash))
	var f faults
	if in.Email != "" {
		if !oneAddress(strings.TrimSpace(in.Email)) { // it would block nobody
			f.add("/email", "must be one plain e-mail address")
		}
		refs = append(refs, risk.Ref{Kind: risk.KindEmail, Value: payment.EmailHash(in.Email)})
	}
	if h := in.EmailHash; h != "" && (len(h) != 64 || strings.Trim(strings.ToLower(h), "0123456789abcdef") != "") {
		f.add("/email_hash", "must be 64 hexadecimal digits")
	}
	if len(refs) != 1 {
		f.add("", "must name exactly one of customer, payer, card_fingerprint, email and email_hash")
	}
	if in.Reason == "" {
		f.add("/reason", "is required")
	}
	for _, n := range []struct{ at, name string }{{"/customer", in.Customer}, {"/payer", in.Payer}, {"/card_fingerprint", in.CardFingerprint}} {
		if utf8.RuneCountInString(n.name) > 200 || !clean(n.name) {
			f.add(n.at, "must have at most 200 characters, without control characters")
		}
	}
	if !clean(in.Reason) || utf8.RuneCountInString(in.Reason) > 1000 {
		f.add("/reason", "must have at most 1000 characters, without control characters")
	}
	if err := f.err(); err != nil {
		return risk.Ref{}, err
	}
	return refs[0], nil
}

// oneAddress says that a text may be one e-mail address, without a name. It is no stricter:
// some that break the RFC exist (john..doe@docomo.ne.jp), and providers tell of them.
func oneAddress(text string) bool {
	local, domain, _ := strings.Cut(text, "@")
	return local != "" && domain != "" && !strings.Contains(domain, "@") && clean(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",;<>", r) })
}

// BlockAnswer is a block as it stands, and the decision that carries out what was asked
// for beside it.
type BlockAnswer struct {
	Block    risk.Block
	Decision risk.Decision
	Replayed bool // this was a repetition
}

// SetBlock blocks somebody. The block is in force when it answers; what it closes and
// gives back beside is carried out like a rule's decision, at once where the provider
// answers, else later.
func (s *Service) SetBlock(ctx context.Context, r Request, in BlockInput) (BlockAnswer, error) {
	if err := s.riskOff(); err != nil {
		return BlockAnswer{}, err
	}
	ref, err := in.subject()
	if err != nil {
		return BlockAnswer{}, err
	}
	if err := s.blockScope(r.Caller, &in); err != nil {
		return BlockAnswer{}, err
	}
	now := s.now()
	if !in.ExpiresAt.IsZero() && !in.ExpiresAt.After(now) {
		if _, err := s.opts.Risk.Store.Decision(ctx, r.id("rde")); errors.Is(err, ErrNotFound) { // else a repetition, after its end
			return BlockAnswer{}, payment.Invalid("/expires_at", "must be in the future")
		} else if err != nil {
			return BlockAnswer{}, storeError(err)
		}
	}
	d := risk.Decision{
		ID: r.id("rde"), App: in.App, Mode: in.Mode, Rule: risk.Manual, Subject: ref, Actions: []risk.Action{risk.ActBlock}, State: risk.Pending,
		Reason: "blocked by hand: " + in.Reason, Scope: risk.ScopeSubject, Severity: "info", At: now, ExpiresAt: in.ExpiresAt, Fingerprint: r.Fingerprint,
		NextAt: now, CreatedAt: now, UpdatedAt: now, By: r.Caller.Actor(), ByReason: in.Reason, ByAt: now,
	}
	if in.Cancel {
		d.Actions = append(d.Actions, risk.ActCancel)
	}
	if in.Refund {
		d.Actions = append(d.Actions, risk.ActRefund)
	}
	stored, created, err := s.opts.Risk.Store.InsertDecision(ctx, d)
	if err != nil {
		return BlockAnswer{}, storeError(err)
	}
	if stored.Fingerprint != r.Fingerprint {
		return BlockAnswer{}, reused()
	}
	if stored.State == risk.Pending { // the answer means that the block is in force
		if err := s.block(ctx, stored); err != nil {
			return BlockAnswer{}, err
		}
	}
	stored = s.visited(ctx, stored)
	b, err := s.blockByID(ctx, risk.BlockID(in.App, in.Mode, ref))
	return BlockAnswer{Block: b, Decision: stored, Replayed: !created}, err
}

// blockScope says in which app a caller may block: its own; an operator in any, or all.
func (s *Service) blockScope(c Caller, in *BlockInput) error {
	if !c.Operator {
		if in.App != "" && in.App != c.App {
			return payment.NewError(payment.CodeForbidden, "Blocking in another app needs an operator key.")
		}
		if in.Mode != "" && in.Mode != c.Mode {
			return payment.NewError(payment.CodeForbidden, "This key blocks in %s mode; for the other, use a key of the app there, or an operator's.", c.Mode)
		}
		in.App, in.Mode = c.App, c.Mode
		return nil
	}
	if in.App == "" {
		if in.Customer != "" {
			return payment.Invalid("/app", "is required with customer: it is an app's own id")
		}
		in.App, in.Mode = risk.AnyApp, ""
		return nil
	}
	known := slices.DeleteFunc(slices.Clone(s.opts.Apps), func(a App) bool { return a.Name != in.App || in.Mode != "" && a.Mode != in.Mode })
	switch len(known) {
	case 0:
		return payment.Invalid("/app", "must be a configured app")
	case 1:
		in.Mode = known[0].Mode
		return nil
	}
	return payment.Invalid("/mode", "is required: the app is configured in test and live mode")
}

func (s *Service) blockByID(ctx context.Context, id string) (risk.Block, error) {
	found, err := s.opts.Risk.Store.Blocks(ctx, []string{id})
	if err != nil {
		return risk.Block{}, storeError(err)
	}
	if len(found) == 0 {
		return risk.Block{}, notFound()
	}
	return found[0].At(s.now()), nil
}

// Block reads one block of the caller's. Blocks across apps are the operators'.
func (s *Service) Block(ctx context.Context, c Caller, id string) (risk.Block, error) {
	if err := s.riskOff(); err != nil {
		return risk.Block{}, err
	}
	b, err := s.blockByID(ctx, id)
	if err == nil && !c.Operator && (b.App != c.App || b.Mode != c.Mode) {
		return risk.Block{}, notFound()
	}
	return b, err
}

// Blocks lists blocks, the latest changed first: an app its own, an operator all.
func (s *Service) Blocks(ctx context.Context, c Caller, f BlockFilter) ([]risk.Block, string, error) {
	if err := s.riskOff(); err != nil {
		return nil, "", err
	}
	if !c.Operator {
		f.App, f.Mode = c.App, c.Mode
	}
	list, next, err := s.opts.Risk.Store.ListBlocks(ctx, f)
	for i := range list {
		list[i] = list[i].At(s.now())
	}
	return list, next, storeError(err)
}

// LiftBlock ends a block and keeps its record. What the rules saw of the subject until
// now counts no more, or the next declined card would set it again. A decision that is
// still being carried out goes on; reverse it to stop it. What an operator blocked only
// an operator lifts.
func (s *Service) LiftBlock(ctx context.Context, c Caller, id, reason string) (risk.Block, error) {
	b, err := s.Block(ctx, c, id)
	if err != nil {
		return risk.Block{}, err
	}
	now := s.now()
	var refused error
	b, err = s.opts.Risk.Store.ChangeBlock(ctx, b, func(old risk.Block) (risk.Block, bool) {
		if refused = nil; old.Operators(now) && !c.Operator {
			refused = payment.NewError(payment.CodeForbidden, "An operator set this block; lifting it needs an operator key.")
			return old, false
		}
		return old.Lift(reason, c.Actor(), "", now)
	})
	switch {
	case refused != nil:
		return risk.Block{}, refused
	case err != nil:
		return risk.Block{}, storeError(err)
	}
	return b, s.forget(ctx, b.App, b.Mode, b.Subject, func(old risk.Subject) (risk.Subject, bool) { return old.Clear(now) })
}
