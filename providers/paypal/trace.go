package paypal

import (
	"context"

	"github.com/trifecta-pay/trifecta/providers"
)

// Trace reads an object that no payment of ours is known to hold and says where it
// may belong: by the ids we write into custom_id and invoice_id, and by its relatives.
func (a *Adapter) Trace(ctx context.Context, object providers.Ref) (providers.Hint, error) {
	const op = "trace"
	if err := checkID(op, object.ID); err != nil {
		return providers.Hint{}, err
	}
	switch object.Kind {
	case "order":
		var o orderBody
		if _, err := a.api.read(ctx, op, "/v2/checkout/orders/"+object.ID, &o); err != nil {
			return providers.Hint{}, err
		}
		return hintOf(claims(resource{Units: o.PurchaseUnits}), object.ID), nil
	case "authorization":
		var x authorizationBody
		if err := a.readObject(ctx, op, "authorizations", object.ID, &x); err != nil {
			return providers.Hint{}, err
		}
		return hintOf([]string{x.CustomID, x.InvoiceID}, object.ID, x.parent(), orderOf(x.Related, x.Links)), nil
	case "capture":
		return a.traceCapture(ctx, op, object.ID)
	case "refund", "reversal":
		var r refundBody
		if err := a.readObject(ctx, op, "refunds", object.ID, &r); err != nil {
			return providers.Hint{}, err
		}
		return a.throughCapture(ctx, op, object.ID, r.capture(), r.CustomID, r.InvoiceID)
	case "dispute":
		var d disputeBody
		if _, err := a.api.read(ctx, op, "/v1/customer/disputes/"+object.ID, &d); err != nil {
			return providers.Hint{}, err
		}
		if len(d.Transactions) == 0 {
			return hintOf(nil, object.ID), nil
		}
		t := d.Transactions[0]
		return a.throughCapture(ctx, op, object.ID, t.SellerTransactionID, t.Custom, t.InvoiceNumber)
	default:
		return providers.Hint{}, &providers.Error{Class: providers.NotFound, Provider: Provider, Op: op, Code: "unknown_kind"}
	}
}

func orderOf(r related, links []link) string {
	if r.IDs.OrderID != "" {
		return r.IDs.OrderID
	}
	return linkedID(links, "orders")
}

func (a *Adapter) traceCapture(ctx context.Context, op, id string) (providers.Hint, error) {
	var c captureBody
	if err := a.readObject(ctx, op, "captures", id, &c); err != nil {
		return providers.Hint{}, err
	}
	return hintOf([]string{c.CustomID, c.InvoiceID}, id, c.authorization(), orderOf(c.Related, c.Links)), nil
}

// throughCapture places an object by the capture it is about. A capture that can't be
// found (a payment of PayPal's older APIs) leaves what the object itself claims.
func (a *Adapter) throughCapture(ctx context.Context, op, id, capture string, claimed ...string) (providers.Hint, error) {
	own := hintOf(claimed, id, capture)
	if clean(capture) == "" {
		return own, nil
	}
	h, err := a.traceCapture(ctx, op, capture)
	switch {
	case err != nil && providers.ClassOf(err) == providers.NotFound:
		return own, nil
	case err != nil:
		return providers.Hint{}, err
	}
	if h.PaymentID == "" {
		h.PaymentID, h.N = own.PaymentID, own.N
	}
	h.Refs = append([]string{id}, h.Refs...)
	return h, nil
}
