package providers

import (
	"context"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// DisputeRequest acts on one dispute.
type DisputeRequest struct {
	Attempt Attempt // of the disputed capture, to be read again after the call
	Dispute string  // the provider's id
	Note    string  // for the provider, at most 2000 characters; may be empty
}

// EvidenceFile is one document. Data is empty where only the limits are checked.
type EvidenceFile struct {
	Name  string // with its extension
	Type  string // one of payment.EvidenceFiles
	Media string // application/pdf, image/jpeg or image/png
	Size  int64  // bytes
	Data  []byte
}

// EvidenceRequest hands evidence in: all of it, each time.
type EvidenceRequest struct {
	DisputeRequest
	Texts  map[string]string // by kind
	Files  []EvidenceFile
	Submit bool // false: a draft. Where the provider keeps none, nothing is sent
}

// Disputer is an adapter whose provider lets disputes be answered. Both calls may
// be repeated with the same key within Info().KeyLife; accepting and submitting are
// final.
type Disputer interface {
	// AcceptDispute gives the case up: the customer keeps, or gets, the money.
	AcceptDispute(ctx context.Context, req DisputeRequest, key string) (Result, error)
	// GiveEvidence stores a draft or submits.
	GiveEvidence(ctx context.Context, req EvidenceRequest, key string) (Result, error)
	// CheckEvidence says what of it the provider would not take, before anything is
	// stored: a *payment.Error that names the field. It makes no call.
	CheckEvidence(req EvidenceRequest) error
	// ReadDispute reads one dispute by the provider's id, whether or not a payment of
	// ours is known to hold it: a fragment with the dispute and its fees.
	ReadDispute(ctx context.Context, id string) (payment.Observation, error)
}

// AcceptDispute gives a case up. Providers without such a call answer Refused.
func (a *Account) AcceptDispute(ctx context.Context, req DisputeRequest, key string) (Result, error) {
	d, ok := a.inner.(Disputer)
	if !ok {
		return Result{}, a.cannot("accept_dispute")
	}
	return guarded(ctx, a, "accept_dispute", a.opts.WriteTimeout, func(ctx context.Context) (Result, error) {
		return d.AcceptDispute(ctx, req, key)
	})
}

// GiveEvidence stores or submits evidence.
func (a *Account) GiveEvidence(ctx context.Context, req EvidenceRequest, key string) (Result, error) {
	d, ok := a.inner.(Disputer)
	if !ok {
		return Result{}, a.cannot("give_evidence")
	}
	return guarded(ctx, a, "give_evidence", a.opts.WriteTimeout, func(ctx context.Context) (Result, error) {
		return d.GiveEvidence(ctx, req, key)
	})
}

// CheckEvidence checks evidence against the provider's limits.
func (a *Account) CheckEvidence(req EvidenceRequest) error {
	d, ok := a.inner.(Disputer)
	if !ok {
		return payment.NewError(payment.CodeUnsupported, "Disputes at %s can't be answered through this API.", a.Info().Provider)
	}
	return d.CheckEvidence(req)
}

// ReadDispute reads one dispute. can is false where the provider has no way to do
// that.
func (a *Account) ReadDispute(ctx context.Context, id string) (obs payment.Observation, can bool, err error) {
	d, ok := a.inner.(Disputer)
	if !ok {
		return payment.Observation{}, false, nil
	}
	obs, err = guarded(ctx, a, "read_dispute", a.opts.ReadTimeout, func(ctx context.Context) (payment.Observation, error) {
		return d.ReadDispute(ctx, id)
	})
	return obs, true, err
}

func (a *Account) cannot(op string) error {
	return &Error{Class: Refused, Provider: a.Info().Provider, Op: op, Code: "unsupported"}
}
