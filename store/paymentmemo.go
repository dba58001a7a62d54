package store

import (
	"bytes"
	"sync"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// PaymentMemo remembers the last decoded form of each payment and gives out copies of it for as long as the stored
// bytes are the same. Decoding is a pure function of those bytes, so nothing can be stale: the document is read from
// the engine every time. It never forgets a payment, which suits a simulator and would be a leak in a server. Safe for
// concurrent use; make it with NewPaymentMemo.
type PaymentMemo struct {
	mu   sync.Mutex
	seen map[string]rememberedPayment
}

type rememberedPayment struct {
	version int64
	body    []byte
	payment *payment.Payment
}

// NewPaymentMemo remembers nothing yet.
func NewPaymentMemo() *PaymentMemo { return &PaymentMemo{seen: map[string]rememberedPayment{}} }

// decode reads a stored payment, from memory where its very bytes were decoded before.
func (s *Payments) decode(d Doc) (*payment.Payment, error) {
	if s.memo == nil {
		return paymentOf(d)
	}
	s.memo.mu.Lock()
	defer s.memo.mu.Unlock()
	if r, ok := s.memo.seen[d.ID]; ok && r.version == d.Version && bytes.Equal(r.body, d.Body) {
		return r.payment.Clone(), nil
	}
	p, err := paymentOf(d)
	if err != nil {
		return nil, err
	}
	s.memo.seen[d.ID] = rememberedPayment{version: d.Version, body: bytes.Clone(d.Body), payment: p.Clone()}
	return p, nil
}
