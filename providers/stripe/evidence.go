package stripe

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Limits of evidence (Stripe API reference: dispute evidence; Stripe docs: evidence
// files, 4.5 MB together).
const (
	maxEvidenceText  = 20_000  // characters of one text
	maxEvidenceTexts = 150_000 // characters, all texts together
	maxEvidenceFiles = 4_500_000
	maxShortText     = 500 // our own bound for names, dates and the like
)

// shortTexts are single values, not explanations.
var shortTexts = map[string]bool{
	payment.TextCustomerName: true, payment.TextCustomerEmail: true, payment.TextCustomerIP: true, payment.TextServiceDate: true,
	payment.TextDuplicateID: true, payment.TextRefundID: true, payment.TextCarrier: true, payment.TextTracking: true,
	payment.TextShippingDate: true,
}

// CheckEvidence says what Stripe would not take.
func (a *Adapter) CheckEvidence(req providers.EvidenceRequest) error {
	total := 0
	for _, kind := range payment.EvidenceTexts() {
		n, limit := utf8.RuneCountInString(req.Texts[kind]), maxEvidenceText
		if shortTexts[kind] {
			limit = maxShortText
		}
		if n > limit {
			return payment.Invalid("/"+strings.ReplaceAll(kind, ".", "/"), "must have at most %d characters", limit)
		}
		total += n
	}
	if other := utf8.RuneCountInString(otherText(req.Texts)); other > maxEvidenceText {
		return payment.Invalid("/"+payment.TextOther, "must have at most %d characters, together with customer_communication and refund_id", maxEvidenceText)
	}
	if total > maxEvidenceTexts {
		return payment.Invalid("", "has %d characters of text; all together may have %d", total, maxEvidenceTexts)
	}
	var size int64
	for _, f := range req.Files {
		size += f.Size
	}
	if size > maxEvidenceFiles {
		return payment.Invalid("/files", "have %d bytes; all together may have %d", size, maxEvidenceFiles)
	}
	return nil
}

// otherText is what has no field of its own at Stripe, in one text.
func otherText(texts map[string]string) string {
	parts := []string{texts[payment.TextOther]}
	if t := texts[payment.TextCommunication]; t != "" {
		parts = append(parts, "Communication with the customer:\n"+t)
	}
	if t := texts[payment.TextRefundID]; t != "" {
		parts = append(parts, "Refunded already: "+t)
	}
	return strings.TrimSpace(strings.Join(parts, "\n\n"))
}

// AcceptDispute closes a dispute, which loses it for good (Stripe API reference:
// close a dispute).
func (a *Adapter) AcceptDispute(ctx context.Context, req providers.DisputeRequest, key string) (providers.Result, error) {
	const op = "accept_dispute"
	if err := checkKey(op, key); err != nil {
		return providers.Result{}, err
	}
	d, err := write(ctx, op, func(ctx context.Context) (*stripesdk.Dispute, error) {
		params := &stripesdk.DisputeParams{Params: stripesdk.Params{Context: ctx}}
		params.SetIdempotencyKey(key)
		d, err := a.sdk.Disputes.Close(req.Dispute, params)
		return whole(d, err, func() bool { return d.ID == req.Dispute && d.Status != "" })
	})
	if err != nil {
		return providers.Result{}, err
	}
	return a.afterDispute(ctx, op, req, d)
}

// GiveEvidence uploads the documents, then sends all texts: those that are not given
// are taken back, so that the draft at Stripe is the one here. submit is always said:
// Stripe's default is true.
func (a *Adapter) GiveEvidence(ctx context.Context, req providers.EvidenceRequest, key string) (providers.Result, error) {
	const op = "give_evidence"
	if err := checkKey(op, key); err != nil {
		return providers.Result{}, err
	}
	evidence := texts(req.Texts)
	for i, f := range req.Files {
		id, err := a.upload(ctx, op, f, fmt.Sprintf("%s-f%d", key, i))
		if err != nil {
			return providers.Result{}, notSubmitted(err)
		}
		attach(evidence, f.Type, id)
	}
	d, err := write(ctx, op, func(ctx context.Context) (*stripesdk.Dispute, error) {
		params := &stripesdk.DisputeParams{
			Params: stripesdk.Params{Context: ctx}, Evidence: evidence, Submit: stripesdk.Bool(req.Submit),
		}
		params.SetIdempotencyKey(key)
		d, err := a.sdk.Disputes.Update(req.Dispute, params)
		return whole(d, err, func() bool { return d.ID == req.Dispute && d.Status != "" })
	})
	if err != nil {
		return providers.Result{}, err
	}
	return a.afterDispute(ctx, op, req.DisputeRequest, d)
}

// notSubmitted: an upload without an answer leaves no doubt about the dispute, which
// was not touched. Uploading again is harmless.
func notSubmitted(err error) error {
	e, ok := err.(*providers.Error) //nolint:errorlint // our own, never wrapped here
	if !ok || e.Class != providers.Unknown {
		return err
	}
	sure := *e
	sure.Class, sure.Stored = providers.NotDone, false
	return &sure
}

func (a *Adapter) upload(ctx context.Context, op string, f providers.EvidenceFile, key string) (string, error) {
	file, err := write(ctx, op, func(ctx context.Context) (*stripesdk.File, error) {
		params := &stripesdk.FileParams{
			Params: stripesdk.Params{Context: ctx}, FileReader: bytes.NewReader(f.Data), Filename: stripesdk.String(f.Name),
			Purpose: stripesdk.String(string(stripesdk.FilePurposeDisputeEvidence)),
		}
		params.SetIdempotencyKey(key)
		file, err := a.sdk.Files.New(params)
		return whole(file, err, func() bool { return file.ID != "" })
	})
	if err != nil {
		return "", err
	}
	return file.ID, nil
}

// texts are all of Stripe's texts, empty where there is nothing to say.
func texts(t map[string]string) *stripesdk.DisputeEvidenceParams {
	s := stripesdk.String
	return &stripesdk.DisputeEvidenceParams{
		ProductDescription: s(t[payment.TextProduct]), CustomerName: s(t[payment.TextCustomerName]),
		CustomerEmailAddress: s(t[payment.TextCustomerEmail]), CustomerPurchaseIP: s(t[payment.TextCustomerIP]),
		BillingAddress: s(t[payment.TextBillingAddress]), AccessActivityLog: s(t[payment.TextAccessLog]),
		ServiceDate: s(t[payment.TextServiceDate]), RefundPolicyDisclosure: s(t[payment.TextRefundPolicy]),
		RefundRefusalExplanation: s(t[payment.TextRefundRefusal]), CancellationPolicyDisclosure: s(t[payment.TextCancelPolicy]),
		CancellationRebuttal: s(t[payment.TextCancelRebuttal]), DuplicateChargeID: s(t[payment.TextDuplicateID]),
		DuplicateChargeExplanation: s(t[payment.TextDuplicate]), ShippingCarrier: s(t[payment.TextCarrier]),
		ShippingTrackingNumber: s(t[payment.TextTracking]), ShippingDate: s(t[payment.TextShippingDate]),
		ShippingAddress: s(t[payment.TextShippingTo]), UncategorizedText: s(otherText(t)),
	}
}

// attach names an uploaded document in the field that it belongs to.
func attach(e *stripesdk.DisputeEvidenceParams, kind, id string) {
	fields := map[string]**string{
		payment.FileReceipt: &e.Receipt, payment.FileCommunication: &e.CustomerCommunication, payment.FileSignature: &e.CustomerSignature,
		payment.FileRefundPolicy: &e.RefundPolicy, payment.FileCancelPolicy: &e.CancellationPolicy,
		payment.FileService: &e.ServiceDocumentation, payment.FileShipping: &e.ShippingDocumentation,
		payment.FileDuplicate: &e.DuplicateChargeDocumentation, payment.FileOther: &e.UncategorizedFile,
	}
	if field, ok := fields[kind]; ok {
		*field = &id
	}
}

// ReadDispute reads one dispute by its id.
func (a *Adapter) ReadDispute(ctx context.Context, id string) (payment.Observation, error) {
	const op = "read_dispute"
	if !identifier(id) {
		return payment.Observation{}, refuse(op, "bad_id", "")
	}
	d, err := a.dispute(ctx, op, id)
	if err != nil {
		return payment.Observation{}, err
	}
	return a.disputeFragment(op, d, 0, asOf(date(d.LastResponse), unix(d.Created)))
}

// disputeFragment is what one answer about a dispute says.
func (a *Adapter) disputeFragment(op string, d *stripesdk.Dispute, n int, at time.Time) (payment.Observation, error) {
	return a.observation(op, snapshot{disputes: []datedDispute{{Dispute: d, asOf: at}}, asOf: at}, n, false)
}

// afterDispute reports a dispute after a change: the attempt read again, or what the
// answer itself says where that read fails. A stored answer is dated by its content.
func (a *Adapter) afterDispute(ctx context.Context, op string, req providers.DisputeRequest, d *stripesdk.Dispute) (providers.Result, error) {
	obs, err := a.observe(ctx, op, req.Attempt)
	if err != nil {
		at := asOf(date(d.LastResponse), unix(d.Created))
		if replayed(d.LastResponse) {
			at = unix(d.Created)
		}
		if obs, err = a.disputeFragment(op, d, req.Attempt.N, at); err != nil {
			return providers.Result{}, err
		}
	}
	return providers.Result{Ref: d.ID, Observation: obs}, nil
}

var _ providers.Disputer = (*Adapter)(nil)
