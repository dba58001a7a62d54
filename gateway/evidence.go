package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Evidence is what stands for a dispute, whole: texts by kind and documents. It
// never changes, but for what is erased of it: another draft is another Evidence.
type Evidence struct {
	ID      string
	Dispute string
	Texts   map[string]string // by payment.EvidenceTexts
	Files   []EvidenceFile
	By      payment.Actor
	At      time.Time
}

// EvidenceFile is one document; its bytes are stored under ID.
type EvidenceFile struct {
	ID    string
	Name  string
	Type  string // one of payment.EvidenceFiles
	Media string
	Size  int64
}

// EvidenceInput is what a caller hands in. It goes over the draft before it: a text
// replaces that of its kind, an empty one removes it, a document replaces that of
// its type.
type EvidenceInput struct {
	Texts  map[string]string
	Files  []FileInput
	Submit bool
}

// FileInput is one document as it was handed in.
type FileInput struct {
	Name string
	Type string
	Data []byte
}

// maxFileName is the longest name of a document, in bytes.
const maxFileName = 200

// AcceptDispute gives a dispute up. reason is kept in its history.
func (s *Service) AcceptDispute(ctx context.Context, r Request, id, reason string) (Answer, error) {
	p, _, err := s.answerable(ctx, r.Caller, id)
	if err != nil {
		return Answer{}, err
	}
	if utf8.RuneCountInString(reason) > 1000 {
		return Answer{}, payment.Invalid("/reason", "must have at most 1000 characters")
	}
	return s.command(ctx, r, p, r.id("op"), func(c *payment.Payment, cmd payment.Command) error {
		d, ok := c.DisputeOf(id)
		if !ok {
			return notFound()
		}
		return c.RequestAccept(d, reason, cmd)
	})
}

// answerable finds the payment of a dispute that a caller wants to answer. An orphan
// has none, and so no place where the order could be written down.
func (s *Service) answerable(ctx context.Context, c Caller, id string) (*payment.Payment, payment.Dispute, error) {
	p, d, err := s.disputed(ctx, c, id)
	if err != nil || p != nil {
		return p, d, err
	}
	if _, err := s.disputeRecord(ctx, c, id); err != nil {
		return nil, payment.Dispute{}, err
	}
	return nil, payment.Dispute{}, payment.NewError(payment.CodeConflict,
		"This dispute belongs to no payment made here, so it can't be answered here; answer it at the provider.")
}

// GiveEvidence merges evidence over the draft of a dispute and stores it here and at
// the provider; with Submit it is handed in, which can be done once.
func (s *Service) GiveEvidence(ctx context.Context, r Request, id string, in EvidenceInput) (Answer, error) {
	p, d, err := s.answerable(ctx, r.Caller, id)
	if err != nil {
		return Answer{}, err
	}
	opID := r.id("op")
	if op := p.Operation(opID); op != nil && !op.Repeatable() {
		return s.command(ctx, r, p, opID, func(*payment.Payment, payment.Command) error { return inProgress(p) }) // a repetition
	}
	if err := checkFiles(in.Files); err != nil {
		return Answer{}, err
	}
	for range maxDraftRaces {
		base := p.Evidence(d)
		whole, err := s.draftEvidence(ctx, r.Caller.Actor(), id, base, in)
		if err != nil {
			return Answer{}, err
		}
		if err := s.checkEvidence(d, whole, in.Submit); err != nil {
			return Answer{}, err
		}
		// What is refused stores nothing.
		if p.Operation(opID) == nil {
			if err := p.Clone().RequestEvidence(d, whole.ID, base, in.Submit, "", r.command(s, opID)); err != nil {
				return Answer{}, withPayment(err, p)
			}
		}
		if err := s.keepEvidence(ctx, whole, in.Files); err != nil {
			return Answer{}, err
		}
		raced := false
		ans, err := s.command(ctx, r, p, opID, func(c *payment.Payment, cmd payment.Command) error {
			now, ok := c.DisputeOf(id)
			if !ok {
				return notFound()
			}
			raced = c.Evidence(now) != base
			return c.RequestEvidence(now, whole.ID, base, in.Submit, "", cmd)
		})
		if err == nil || !raced {
			return ans, err
		}
		if p, d, err = s.answerable(ctx, r.Caller, id); err != nil { // another draft came in between: build on that
			return Answer{}, err
		}
	}
	return Answer{}, payment.NewError(payment.CodeConflict, "The evidence was changed meanwhile; read it and try again.")
}

// maxDraftRaces bounds how often a draft is built anew because another came first.
const maxDraftRaces = 3

// draftEvidence is the evidence that stands, with the input over it.
func (s *Service) draftEvidence(ctx context.Context, by payment.Actor, dispute, base string, in EvidenceInput) (Evidence, error) {
	out := Evidence{Dispute: dispute, Texts: map[string]string{}, By: by, At: s.now()}
	if base != "" {
		old, err := s.opts.Disputes.GetEvidence(ctx, base)
		if err != nil {
			return Evidence{}, storeError(err)
		}
		for kind, text := range old.Texts {
			if !strings.Contains(text, payment.Erased) { // a provider must not read that something was erased
				out.Texts[kind] = text
			}
		}
		out.Files = slices.Clone(old.Files)
		for i := range out.Files {
			out.Files[i].Name = strings.ReplaceAll(out.Files[i].Name, payment.Erased, "document")
		}
	}
	for kind, text := range in.Texts {
		if !slices.Contains(payment.EvidenceTexts(), kind) {
			return Evidence{}, payment.Invalid("/"+strings.ReplaceAll(kind, ".", "/"), "is not a known kind of evidence")
		}
		if strings.Contains(text, payment.Erased) {
			return Evidence{}, payment.Invalid("/"+strings.ReplaceAll(kind, ".", "/"), "must not say %s: a bank must not read that something was erased", payment.Erased)
		}
		out.Texts[kind] = text
		if text == "" {
			delete(out.Texts, kind)
		}
	}
	for _, f := range in.Files {
		out.Files = slices.DeleteFunc(out.Files, func(old EvidenceFile) bool { return old.Type == f.Type })
		out.Files = append(out.Files, EvidenceFile{ID: fileID(dispute, f.Data), Name: f.Name, Type: f.Type, Media: media(f.Data), Size: int64(len(f.Data))})
	}
	slices.SortFunc(out.Files, func(a, b EvidenceFile) int { return strings.Compare(a.Type, b.Type) })
	var err error
	out.ID, err = s.evidenceID(ctx, out)
	return out, err
}

// evidenceID is the id of evidence: made of its content, and of how often the same was erased
// before. An id under which only the rest of it is left is not used again, or a bank would be
// handed that rest.
func (s *Service) evidenceID(ctx context.Context, e Evidence) (string, error) {
	content, err := json.Marshal([]any{e.Texts, e.Files}) // maps marshal in the order of their keys
	if err != nil {
		return "", fmt.Errorf("gateway: evidence: %w", err)
	}
	id := payment.DeriveID("evd", e.Dispute, digestOf(content))
	for n := 1; n <= maxErasedAlike; n++ {
		old, err := s.opts.Disputes.GetEvidence(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return id, nil
		case err != nil:
			return "", storeError(err)
		case maps.Equal(old.Texts, e.Texts) && slices.Equal(old.Files, e.Files):
			return id, nil
		}
		id = payment.DeriveID("evd", e.Dispute, digestOf(content), fmt.Sprint(n))
	}
	return "", payment.NewError(payment.CodeConflict, "The same evidence was erased %d times; change a word of it.", maxErasedAlike)
}

// maxErasedAlike bounds how often the same evidence may have been erased and given again.
const maxErasedAlike = 100

// erased says that something of the evidence was erased since it was handed in.
func (e Evidence) erased() bool {
	for _, text := range e.Texts {
		if strings.Contains(text, payment.Erased) {
			return true
		}
	}
	return slices.ContainsFunc(e.Files, func(f EvidenceFile) bool { return strings.Contains(f.Name, payment.Erased) })
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func fileID(dispute string, data []byte) string {
	return payment.DeriveID("fil", dispute, digestOf(data))
}

// media is what a document is by its first bytes, empty if it is none that providers
// take: names and declared types are anyone's.
func media(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("%PDF-")):
		return "application/pdf"
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	}
	return ""
}

func checkFiles(files []FileInput) error {
	seen := map[string]bool{}
	for i, f := range files {
		at := fmt.Sprintf("/files/%d", i)
		switch {
		case !slices.Contains(payment.EvidenceFiles(), f.Type):
			return payment.Invalid(at+"/type", "must be one of %s", strings.Join(payment.EvidenceFiles(), ", "))
		case seen[f.Type]:
			return payment.Invalid(at+"/type", "is given twice; one document a type, join them into one PDF")
		case f.Name == "" || len(f.Name) > maxFileName || strings.ContainsFunc(f.Name, unfitInName):
			return payment.Invalid(at+"/name", "must have 1 to %d letters, digits, blanks, dots, hyphens or underscores", maxFileName)
		case media(f.Data) == "":
			return payment.Invalid(at+"/content", "must be a PDF, JPEG or PNG, in base64")
		}
		seen[f.Type] = true
	}
	return nil
}

func unfitInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_. ", r)
}

// checkEvidence asks the provider's adapter whether it would take this.
func (s *Service) checkEvidence(d payment.Dispute, e Evidence, submit bool) error {
	account, ok := s.opts.Providers.Account(d.Key.Account)
	if !ok {
		return payment.NewError(payment.CodeProviderUnavailable, "The account of this dispute is not configured.")
	}
	if submit && len(e.Texts) == 0 && len(e.Files) == 0 {
		return payment.Invalid("/submit", "needs evidence: there is none, neither here nor in a draft")
	}
	req := providers.EvidenceRequest{DisputeRequest: providers.DisputeRequest{Dispute: d.Key.ID}, Texts: e.Texts, Submit: submit}
	for _, f := range e.Files {
		req.Files = append(req.Files, providers.EvidenceFile{Name: f.Name, Type: f.Type, Media: f.Media, Size: f.Size})
	}
	return account.CheckEvidence(req)
}

// keepEvidence stores the new documents, then the evidence that names them: what an
// operation points at is there before it.
func (s *Service) keepEvidence(ctx context.Context, e Evidence, files []FileInput) error {
	for _, f := range files {
		if err := s.opts.Disputes.PutFile(ctx, fileID(e.Dispute, f.Data), f.Data); err != nil {
			return storeError(err)
		}
	}
	return storeOr(s.opts.Disputes.PutEvidence(ctx, e))
}

// callDispute sends an operation on a dispute.
func (s *Service) callDispute(ctx context.Context, op payment.Operation, account *providers.Account, a providers.Attempt) (providers.Result, error) {
	req := providers.DisputeRequest{Attempt: a, Dispute: op.Target}
	if op.Kind == payment.OpAcceptDispute {
		return account.AcceptDispute(ctx, req, op.Key)
	}
	e, err := s.opts.Disputes.GetEvidence(ctx, op.Evidence)
	if err != nil {
		return providers.Result{}, unsentEvidence(op, err)
	}
	if e.erased() { // between the order and now: it is given once, so not in part
		why := payment.NewError(payment.CodeConflict, "Nothing was handed in: something of this evidence was erased meanwhile. Give it again.")
		return providers.Result{}, &providers.Error{Class: providers.Refused, Op: string(op.Kind), Code: "evidence_erased", Cause: why}
	}
	full := providers.EvidenceRequest{DisputeRequest: req, Texts: e.Texts, Submit: op.Kind == payment.OpSubmitEvidence}
	for _, f := range e.Files {
		data, err := s.opts.Disputes.GetFile(ctx, f.ID)
		if err != nil {
			return providers.Result{}, unsentEvidence(op, err)
		}
		full.Files = append(full.Files, providers.EvidenceFile{Name: f.Name, Type: f.Type, Media: f.Media, Size: f.Size, Data: data})
	}
	return account.GiveEvidence(ctx, full, op.Key)
}

// unsentEvidence: it could not be read here, so nothing was sent.
func unsentEvidence(op payment.Operation, err error) error {
	class, code := providers.NotDone, "store_unavailable"
	if errors.Is(err, ErrNotFound) {
		class, code = providers.Misconfigured, "evidence_missing"
	}
	return &providers.Error{Class: class, Op: string(op.Kind), Code: code, Cause: err, RetryAfter: time.Second}
}

// disputeEffect says whether a fresh snapshot shows what an operation on a dispute
// was to do.
func disputeEffect(seen payment.Facts, op payment.Operation) (string, bool) {
	for _, d := range seen.Disputes {
		if d.Key.ID != op.Target || d.Key.Account != op.Account {
			continue
		}
		switch op.Kind {
		case payment.OpAcceptDispute:
			return d.Key.ID, d.Status == payment.DisputeLost || d.Status == payment.DisputeClosed
		case payment.OpSubmitEvidence:
			return d.Key.ID, d.Status == payment.DisputeUnderReview || d.Evidence.Submitted > 0 && !d.Answerable
		default:
			return "", false
		}
	}
	return "", false
}
