package paypal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Limits of evidence (PayPal OpenAPI customer disputes v1: notes 2000 characters,
// tracking number 255, document names; PayPal docs: documents, 10 MB a file, 50 MB
// together). A note bears a heading of ours, so it may have a little less.
const (
	maxNote      = 1900
	maxTracking  = 255
	maxDocument  = 10 << 20
	maxDocuments = 50 << 20
)

// documentName is what PayPal takes as a document's name.
var documentName = regexp.MustCompile(`^[A-Za-z0-9_,\s-]+[.][A-Za-z]+$`)

type evidenceBody struct {
	Type      string        `json:"evidence_type"`
	Info      *evidenceInfo `json:"evidence_info,omitempty"`
	Documents []document    `json:"documents,omitempty"`
	Notes     string        `json:"notes,omitempty"`
}

type evidenceInfo struct {
	Tracking []tracking `json:"tracking_info,omitempty"`
	Refunds  []string   `json:"refund_ids,omitempty"`
}

type tracking struct {
	Carrier string `json:"carrier_name"`
	Other   string `json:"carrier_name_other,omitempty"`
	Number  string `json:"tracking_number"`
}

type document struct {
	Name string `json:"name"`
}

// carriers are names that PayPal knows as they are; others go by OTHER.
var carriers = map[string]string{
	"ups": "UPS", "usps": "USPS", "fedex": "FEDEX", "dhl": "DHL", "royal mail": "ROYAL_MAIL", "tnt": "TNT",
}

// noteTypes are PayPal's evidence types for our texts, with the heading of those that
// go as OTHER.
var noteTypes = []struct{ kind, theirs, heading string }{
	{payment.TextProduct, "ITEM_DESCRIPTION", ""},
	{payment.TextRefundPolicy, "RETURN_POLICY", ""},
	{payment.TextAccessLog, "PROOF_FOR_SOFTWARE_OR_SERVICE_DELIVERED", ""},
	{payment.TextServiceDate, "PROOF_FOR_SOFTWARE_OR_SERVICE_DELIVERED", "Service date"},
	{payment.TextDuplicate, "DETAILS_OF_PURCHASE", ""},
	{payment.TextDuplicateID, "DETAILS_OF_PURCHASE", "The other payment"},
	{payment.TextCustomerName, "OTHER", "Customer"},
	{payment.TextCustomerEmail, "OTHER", "Customer's e-mail"},
	{payment.TextCustomerIP, "OTHER", "Customer's IP address"},
	{payment.TextBillingAddress, "OTHER", "Billing address"},
	{payment.TextCommunication, "OTHER", "Communication with the customer"},
	{payment.TextRefundRefusal, "OTHER", "Why no refund is due"},
	{payment.TextCancelPolicy, "OTHER", "Cancellation policy"},
	{payment.TextCancelRebuttal, "OTHER", "Why it was not canceled"},
	{payment.TextOther, "OTHER", ""},
}

// fileTypes are PayPal's evidence types for our documents.
var fileTypes = map[string]string{
	payment.FileReceipt: "PROOF_OF_RECEIPT_COPY", payment.FileRefundPolicy: "RETURN_POLICY",
	payment.FileShipping: "ADDITIONAL_PROOF_OF_SHIPMENT", payment.FileSignature: "PROOF_OF_DELIVERY_SIGNATURE",
	payment.FileService: "PROOF_FOR_SOFTWARE_OR_SERVICE_DELIVERED", payment.FileDuplicate: "DETAILS_OF_PURCHASE",
	payment.FileCommunication: "OTHER", payment.FileCancelPolicy: "OTHER", payment.FileOther: "OTHER",
}

// CheckEvidence says what PayPal would not take.
func (a *Adapter) CheckEvidence(req providers.EvidenceRequest) error {
	for _, kind := range payment.EvidenceTexts() {
		limit := maxNote
		if kind == payment.TextTracking || kind == payment.TextCarrier || kind == payment.TextRefundID {
			limit = maxTracking
		}
		if utf8.RuneCountInString(req.Texts[kind]) > limit {
			return payment.Invalid("/"+strings.ReplaceAll(kind, ".", "/"), "must have at most %d characters", limit)
		}
	}
	if req.Submit && req.Texts[payment.TextCarrier] != "" && req.Texts[payment.TextTracking] == "" {
		return payment.Invalid("/shipping/tracking_number", "is required with a carrier")
	}
	var size int64
	for _, f := range req.Files {
		if f.Size > maxDocument {
			return payment.Invalid("/files", "hold a %s of %d bytes; one may have %d", f.Type, f.Size, maxDocument)
		}
		if !documentName.MatchString(f.Name) {
			return payment.Invalid("/files", "hold a %s whose name is not letters, digits, blanks, hyphens or underscores with one extension", f.Type)
		}
		size += f.Size
	}
	if size > maxDocuments {
		return payment.Invalid("/files", "have %d bytes; all together may have %d", size, maxDocuments)
	}
	return nil
}

// evidences are what we hand in, in PayPal's own kinds.
func evidences(req providers.EvidenceRequest) []evidenceBody {
	var out []evidenceBody
	if number := req.Texts[payment.TextTracking]; number != "" {
		given := req.Texts[payment.TextCarrier]
		t := tracking{Carrier: carriers[strings.ToLower(given)], Number: number}
		if t.Carrier == "" {
			t.Carrier, t.Other = "OTHER", given
			if given == "" {
				t.Other = "not named"
			}
		}
		out = append(out, evidenceBody{Type: "PROOF_OF_FULFILLMENT", Info: &evidenceInfo{Tracking: []tracking{t}}, Notes: shippingNote(req.Texts)})
	} else if note := shippingNote(req.Texts); note != "" {
		out = append(out, evidenceBody{Type: "OTHER", Notes: note})
	}
	if id := req.Texts[payment.TextRefundID]; id != "" {
		out = append(out, evidenceBody{Type: "PROOF_OF_REFUND", Info: &evidenceInfo{Refunds: []string{id}}})
	}
	for _, n := range noteTypes {
		if text := req.Texts[n.kind]; text != "" {
			out = append(out, evidenceBody{Type: n.theirs, Notes: headed(n.heading, text)})
		}
	}
	for _, f := range req.Files {
		out = append(out, evidenceBody{Type: fileTypes[f.Type], Documents: []document{{f.Name}}})
	}
	return out
}

func headed(heading, text string) string {
	if heading == "" {
		return text
	}
	return heading + ": " + text
}

func shippingNote(texts map[string]string) string {
	var parts []string
	for _, n := range []struct{ kind, heading string }{{payment.TextShippingDate, "Shipped"}, {payment.TextShippingTo, "To"}} {
		if t := texts[n.kind]; t != "" {
			parts = append(parts, n.heading+": "+t)
		}
	}
	return cutNote(strings.Join(parts, "\n"))
}

// cutNote keeps two joined texts within PayPal's limit.
func cutNote(s string) string {
	r := []rune(s)
	return string(r[:min(len(r), 2000)])
}

// AcceptDispute accepts the claim: PayPal pays the customer back from the account,
// for good (PayPal OpenAPI customer disputes v1: accept-claim).
func (a *Adapter) AcceptDispute(ctx context.Context, req providers.DisputeRequest, _ string) (providers.Result, error) {
	const op = "accept_dispute"
	note := req.Note
	if note == "" {
		note = "Accepted by the seller."
	}
	input := map[string]string{"note": note, "accept_claim_type": "REFUND"}
	return a.answer(ctx, op, req, "accept-claim", input, nil)
}

// GiveEvidence hands evidence in. PayPal keeps no drafts: without submit nothing is
// sent, and the case is just read. Which call takes it is what PayPal's links say.
func (a *Adapter) GiveEvidence(ctx context.Context, req providers.EvidenceRequest, _ string) (providers.Result, error) {
	const op = "give_evidence"
	if !req.Submit {
		return a.readAgain(ctx, op, req.DisputeRequest)
	}
	var d disputeBody
	if err := a.readDispute(ctx, op, req.Dispute, &d); err != nil {
		return providers.Result{}, notSent(err)
	}
	switch {
	case linkOf(d.Links, relEvidence) != "":
		return a.answer(ctx, op, req.DisputeRequest, "provide-evidence", map[string]any{"evidences": evidences(req)}, req.Files)
	case linkOf(d.Links, relSupport) != "":
		var notes []string
		for _, e := range evidences(req) {
			if e.Notes != "" {
				notes = append(notes, e.Notes)
			}
		}
		return a.answer(ctx, op, req.DisputeRequest, "provide-supporting-info", map[string]any{"notes": cutNote(strings.Join(notes, "\n\n"))}, req.Files)
	}
	return providers.Result{}, &providers.Error{Class: providers.Refused, Provider: Provider, Op: op, Code: "evidence_not_taken"}
}

// notSent: a read before the call that matters failed, so nothing was done.
func notSent(err error) error {
	if e, ok := err.(*providers.Error); ok && e.Class == providers.Unknown { //nolint:errorlint // our own, never wrapped here
		sure := *e
		sure.Class, sure.Stored = providers.NotDone, false
		return &sure
	}
	return err
}

// answer posts to a case: a JSON part named input, and the documents.
func (a *Adapter) answer(ctx context.Context, op string, req providers.DisputeRequest, action string, input any, files []providers.EvidenceFile) (providers.Result, error) {
	if err := checkID(op, req.Dispute); err != nil {
		return providers.Result{}, err
	}
	body, kind, err := form(input, files)
	if err != nil {
		return providers.Result{}, &providers.Error{Class: providers.Refused, Provider: Provider, Op: op, Code: "not_encodable", Cause: err}
	}
	r := call{op: op, method: http.MethodPost, path: "/v1/customer/disputes/" + req.Dispute + "/" + action, body: body, kind: kind}
	if _, err := a.api.do(ctx, r); err != nil {
		return providers.Result{}, err
	}
	if res, err := a.readAgain(ctx, op, req); err == nil {
		return res, nil
	}
	// It was taken; the due sync reads what became of it.
	return providers.Result{Ref: req.Dispute, Observation: payment.Observation{Provider: Provider, Account: a.opts.Account, N: req.Attempt.N}}, nil
}

// readAgain reads the attempt with its cases.
func (a *Adapter) readAgain(ctx context.Context, op string, req providers.DisputeRequest) (providers.Result, error) {
	obs, err := a.fetch(ctx, op, req.Attempt, true)
	if err != nil {
		return providers.Result{}, notSent(err)
	}
	return providers.Result{Ref: req.Dispute, Observation: obs}, nil
}

// form writes a multipart body.
func form(input any, files []providers.EvidenceFile) (body []byte, kind string, err error) {
	raw, err := json.Marshal(input)
	if err != nil {
		return nil, "", fmt.Errorf("input: %w", err)
	}
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="input"`}, "Content-Type": {"application/json"},
	})
	if err == nil {
		_, err = part.Write(raw)
	}
	for i, f := range files {
		if err != nil {
			break
		}
		if part, err = w.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {fmt.Sprintf(`form-data; name="file%d"; filename=%q`, i+1, f.Name)}, "Content-Type": {f.Media},
		}); err == nil {
			_, err = part.Write(f.Data)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, "", fmt.Errorf("form: %w", err)
	}
	return buf.Bytes(), w.FormDataContentType(), nil
}

// readDispute reads one case whole.
func (a *Adapter) readDispute(ctx context.Context, op, id string, into *disputeBody) error {
	if err := checkID(op, id); err != nil {
		return err
	}
	got, err := a.api.read(ctx, op, "/v1/customer/disputes/"+id, into)
	if err == nil && into.ID != id {
		err = a.api.unreadable(op, got, nil)
	}
	return err
}

// ReadDispute reads one dispute by its id.
func (a *Adapter) ReadDispute(ctx context.Context, id string) (payment.Observation, error) {
	const op = "read_dispute"
	var d disputeBody
	if err := a.readDispute(ctx, op, id, &d); err != nil {
		return payment.Observation{}, err
	}
	m := &mapper{a: a}
	m.dispute(d)
	if m.err != nil {
		return payment.Observation{}, a.api.unreadable(op, &answer{}, m.err)
	}
	return payment.Observation{Provider: Provider, Account: a.opts.Account, Facts: m.out}, nil
}

var _ providers.Disputer = (*Adapter)(nil)
