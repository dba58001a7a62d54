package paypalapi

import (
	"fmt"
	"net/url"
	"strconv"
)

// checkUnits validates the purchase units of a request and turns them into state.
// On a fault it answers the reply that PayPal would give.
func (c *call) checkUnits(in []unitJSON, intent string) ([]*unit, *reply) {
	switch {
	case len(in) == 0:
		return nil, ptr(c.bad("MISSING_REQUIRED_PARAMETER", "/purchase_units", ""))
	case len(in) > 10:
		return nil, ptr(c.bad("INVALID_ARRAY_MAX_ITEMS", "/purchase_units", ""))
	case len(in) > 1 && intent == intentAuthorize:
		return nil, ptr(c.bad("UNSUPPORTED_INTENT", "/intent", intent))
	}
	refs := map[string]bool{}
	out := make([]*unit, 0, len(in))
	for i, req := range in {
		field := fmt.Sprintf("/purchase_units/@reference_id=='%s'", orDefault(req.ReferenceID))
		if req.ReferenceID == "" && len(in) > 1 {
			return nil, ptr(c.bad("REFERENCE_ID_REQUIRED", fmt.Sprintf("/purchase_units/%d/reference_id", i), ""))
		}
		if refs[req.ReferenceID] {
			return nil, ptr(c.bad("DUPLICATE_REFERENCE_ID", field+"/reference_id", req.ReferenceID))
		}
		refs[req.ReferenceID] = true
		u, bad := c.checkUnit(req, field)
		if bad != nil {
			return nil, bad
		}
		if u.currency != in[0].Amount.CurrencyCode {
			return nil, ptr(c.bad("MULTI_CURRENCY_ORDER", field+"/amount/currency_code", u.currency))
		}
		out = append(out, u)
	}
	return out, nil
}

func orDefault(reference string) string {
	if reference == "" {
		return "default"
	}
	return reference
}

func (c *call) checkUnit(req unitJSON, field string) (*unit, *reply) {
	for _, f := range []struct {
		name, value string
		limit       int
	}{
		{"reference_id", req.ReferenceID, 256},
		{"description", req.Description, 127},
		{"custom_id", req.CustomID, 127},
		{"invoice_id", req.InvoiceID, 127},
		{"soft_descriptor", req.SoftDescriptor, 22},
	} {
		if len([]rune(f.value)) > f.limit {
			return nil, ptr(c.bad("INVALID_STRING_LENGTH", field+"/"+f.name, f.value))
		}
	}
	if req.Amount == nil {
		return nil, ptr(c.bad("MISSING_REQUIRED_PARAMETER", field+"/amount", ""))
	}
	total, is := req.Amount.parse(false)
	if is != "" {
		return nil, ptr(c.bad(is, field+"/amount/value", req.Amount.Value))
	}
	if bad := c.checkBreakdown(req, total, field); bad != nil {
		return nil, bad
	}
	if bad := c.checkItems(req, field); bad != nil {
		return nil, bad
	}
	if ins := req.PaymentInstruction; ins != nil {
		if bad := c.checkFees(ins.PlatformFees, total, req.Amount.CurrencyCode, field+"/payment_instruction"); bad != nil {
			return nil, bad
		}
	}
	req.ReferenceID = orDefault(req.ReferenceID)
	req.Payments = nil // an answer's member, never the caller's to set
	return &unit{req: req, amount: total, currency: req.Amount.CurrencyCode}, nil
}

// checkBreakdown: the amount is the sum of its parts (PayPal OpenAPI: AMOUNT_MISMATCH).
func (c *call) checkBreakdown(req unitJSON, total int64, field string) *reply {
	b := req.Amount.Breakdown
	if b == nil {
		return nil
	}
	sum := int64(0)
	for _, part := range []struct {
		name string
		m    *money
		sign int64
	}{
		{"item_total", b.ItemTotal, 1},
		{"shipping", b.Shipping, 1},
		{"handling", b.Handling, 1},
		{"tax_total", b.TaxTotal, 1},
		{"insurance", b.Insurance, 1},
		{"shipping_discount", b.ShippingDiscount, -1},
		{"discount", b.Discount, -1},
	} {
		if part.m == nil {
			continue
		}
		where := field + "/amount/breakdown/" + part.name
		if part.m.CurrencyCode != req.Amount.CurrencyCode {
			return ptr(c.bad("MULTI_CURRENCY_ORDER", where+"/currency_code", part.m.CurrencyCode))
		}
		n, is := part.m.parse(true)
		if is != "" {
			return ptr(c.bad(is, where+"/value", part.m.Value))
		}
		sum += part.sign * n
	}
	if sum != total {
		return ptr(c.bad("AMOUNT_MISMATCH", field+"/amount/value", req.Amount.Value))
	}
	return nil
}

// checkItems: items and taxes sum up to the breakdown's item_total and tax_total.
func (c *call) checkItems(req unitJSON, field string) *reply {
	var items, taxes int64
	priced, taxed := false, false
	for i, it := range req.Items {
		where := fmt.Sprintf("%s/items/%d", field, i)
		if it.Name == "" {
			return ptr(c.bad("MISSING_REQUIRED_PARAMETER", where+"/name", ""))
		}
		if it.Quantity == "" {
			return ptr(c.bad("MISSING_REQUIRED_PARAMETER", where+"/quantity", ""))
		}
		q, err := strconv.ParseInt(it.Quantity, 10, 64)
		if err != nil || q < 1 || len(it.Quantity) > 10 {
			return ptr(c.bad("INVALID_PARAMETER_SYNTAX", where+"/quantity", it.Quantity))
		}
		for _, p := range []struct {
			name string
			m    *money
			sum  *int64
			seen *bool
		}{{"unit_amount", it.UnitAmount, &items, &priced}, {"tax", it.Tax, &taxes, &taxed}} {
			if p.m == nil {
				continue
			}
			if p.m.CurrencyCode != req.Amount.CurrencyCode {
				return ptr(c.bad("MULTI_CURRENCY_ORDER", where+"/"+p.name+"/currency_code", p.m.CurrencyCode))
			}
			n, is := p.m.parse(true)
			if is != "" {
				return ptr(c.bad(is, where+"/"+p.name+"/value", p.m.Value))
			}
			if n > 0 && q > maxMinor/n {
				return ptr(c.bad("MAX_VALUE_EXCEEDED", where+"/quantity", it.Quantity))
			}
			*p.sum += n * q
			*p.seen = true
		}
	}
	b := req.Amount.Breakdown
	if b == nil {
		b = &breakdownJSON{}
	}
	if bad := c.checkSum(priced, items, b.ItemTotal, field, "ITEM_TOTAL"); bad != nil {
		return bad
	}
	return c.checkSum(taxed, taxes, b.TaxTotal, field, "TAX_TOTAL")
}

// checkSum compares what the items add up to with what the breakdown says.
func (c *call) checkSum(stated bool, sum int64, total *money, field, what string) *reply {
	if !stated {
		return nil
	}
	name := map[string]string{"ITEM_TOTAL": "item_total", "TAX_TOTAL": "tax_total"}[what]
	if total == nil {
		return ptr(c.bad(what+"_REQUIRED", field+"/amount/breakdown/"+name, ""))
	}
	if n, _ := total.parse(true); n != sum {
		return ptr(c.bad(what+"_MISMATCH", field+"/amount/breakdown/"+name+"/value", total.Value))
	}
	return nil
}

// checkFees: a platform fee is in the order's currency and at most the amount.
func (c *call) checkFees(fees []platformFeeJSON, total int64, currency, field string) *reply {
	for i, f := range fees {
		where := fmt.Sprintf("%s/platform_fees/%d/amount", field, i)
		n, is := f.Amount.parse(true)
		if is != "" {
			return ptr(c.bad(is, where+"/value", f.Amount.Value))
		}
		if f.Amount.CurrencyCode != currency {
			return ptr(c.bad("MULTI_CURRENCY_ORDER", where+"/currency_code", f.Amount.CurrencyCode))
		}
		if n > total {
			return ptr(c.bad("INVALID_PLATFORM_FEES_AMOUNT", where+"/value", f.Amount.Value))
		}
	}
	return nil
}

// checkURL: where the buyer's browser is sent must be an absolute web address.
func (c *call) checkURL(field, raw string) *reply {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return ptr(c.bad("INVALID_PARAMETER_SYNTAX", field, raw))
	}
	return nil
}

func ptr[T any](v T) *T { return &v }
