package stripeapi

import (
	"strings"
)

func (a *API) renderChargeRefunds(c *charge) obj {
	data := make([]any, 0, len(c.refunds))
	for i := len(c.refunds) - 1; i >= 0; i-- {
		data = append(data, a.renderRefund(c.refunds[i]))
	}
	return list("/v1/charges/"+c.id+"/refunds", data, false)
}

func (a *API) renderRefund(r *refund) obj {
	o := obj{
		"id": r.id, "object": "refund", "created": unix(r.created), "amount": r.amount, "currency": r.charge.currency,
		"status": r.status, "reason": orNull(r.reason), "charge": r.charge.id, "payment_intent": r.charge.intent.id,
		"balance_transaction": idOrNull(r.txn, r.txn != nil), "metadata": metaObj(r.meta), "receipt_number": nil,
		"source_transfer_reversal": nil, "transfer_reversal": nil,
	}
	if r.charge.method.kind == "card" {
		o["destination_details"] = obj{"type": "card", "card": obj{"type": "refund", "reference_type": "acquirer_reference_number", "reference_status": "pending"}}
	}
	// These two are absent, not null, until the refund fails.
	if r.failTxn != nil {
		o["failure_balance_transaction"] = r.failTxn.id
	}
	if r.failReason != "" {
		o["failure_reason"] = r.failReason
	}
	return o
}

// evidenceFields are what a dispute's evidence may hold.
var evidenceFields = strings.Fields(`access_activity_log billing_address cancellation_policy cancellation_policy_disclosure
	cancellation_rebuttal customer_communication customer_email_address customer_name customer_purchase_ip customer_signature
	duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy
	refund_policy_disclosure refund_refusal_explanation service_date service_documentation shipping_address shipping_carrier
	shipping_date shipping_documentation shipping_tracking_number uncategorized_file uncategorized_text`)

func (a *API) renderDispute(d *dispute) obj {
	evidence := obj{}
	for _, f := range evidenceFields {
		evidence[f] = orNull(d.evidence[f])
	}
	txns := make([]any, len(d.txns))
	for i, t := range d.txns {
		txns[i] = a.renderTxn(t)
	}
	return obj{
		"id": d.id, "object": "dispute", "livemode": false, "created": unix(d.created), "amount": d.amount,
		"currency": d.charge.currency, "charge": d.charge.id, "payment_intent": d.charge.intent.id, "status": d.status,
		"reason": d.reason, "balance_transactions": txns, "evidence": evidence, "metadata": metaObj(d.meta),
		"evidence_details": obj{
			"due_by": timeOrNull(d.dueBy), "has_evidence": len(d.evidence) > 0,
			"past_due": !d.dueBy.IsZero() && a.w.Now().After(d.dueBy) && d.submitted == 0, "submission_count": d.submitted,
		},
		"is_charge_refundable":   strings.HasPrefix(d.status, "warning") && d.charge.refundable() > 0,
		"payment_method_details": obj{"type": "card", "card": obj{"brand": d.charge.method.card.brand, "network_reason_code": "10.4"}},
	}
}

func (a *API) renderTxn(t *txn) obj {
	status := "pending"
	if !a.w.Now().Before(t.available) {
		status = "available"
	}
	amount, fee, currency, rate := a.settled(t)
	details := []any{}
	if fee != 0 {
		text := "Stripe processing fees"
		if t.category == "dispute" {
			text = "Dispute fee"
		}
		details = append(details, obj{"amount": fee, "application": nil, "currency": currency, "description": text, "type": "stripe_fee"})
	}
	return obj{
		"id": t.id, "object": "balance_transaction", "created": unix(t.created), "available_on": unix(t.available),
		"amount": amount, "fee": fee, "net": amount - fee, "currency": currency, "exchange_rate": rate,
		"fee_details": details, "description": orNull(t.text), "type": t.kind, "reporting_category": t.category,
		"source": t.source, "status": status,
	}
}

func (a *API) renderWarning(w *warning) obj {
	return obj{
		"id": w.id, "object": "radar.early_fraud_warning", "livemode": false, "created": unix(w.created),
		"charge": w.charge.id, "payment_intent": w.charge.intent.id, "fraud_type": w.kind, "actionable": w.actionable(),
	}
}

func renderCustomer(c *customer) obj {
	settings := obj{"custom_fields": nil, "default_payment_method": idOrNull(c.defaultMethod, c.defaultMethod != nil), "footer": nil, "rendering_options": nil}
	return obj{
		"id": c.id, "object": "customer", "livemode": false, "created": unix(c.created), "email": orNull(c.email),
		"name": orNull(c.name), "phone": orNull(c.phone), "description": orNull(c.description), "metadata": metaObj(c.meta),
		"address": nil, "balance": 0, "currency": nil, "default_source": nil, "delinquent": false, "discount": nil,
		"invoice_prefix": strings.ToUpper(c.id[len(c.id)-8:]), "invoice_settings": settings, "next_invoice_sequence": 1,
		"preferred_locales": []any{}, "shipping": nil, "tax_exempt": "none", "test_clock": nil,
	}
}

func renderHook(h *hook) obj {
	return obj{
		"id": h.id, "object": "webhook_endpoint", "livemode": false, "created": unix(h.created), "url": h.url,
		"enabled_events": h.types, "api_version": orNull(h.version), "application": nil, "description": orNull(h.description),
		"metadata": metaObj(h.meta), "status": h.status(),
	}
}

func renderAccount(id string) obj {
	return obj{
		"id": id, "object": "account", "type": "standard", "country": "US", "default_currency": "usd", "email": "sandbox@example.com",
		"business_type": "company", "charges_enabled": true, "payouts_enabled": true, "details_submitted": true, "created": 1700000000,
		"capabilities": obj{"card_payments": "active", "transfers": "active"}, "metadata": obj{},
		"requirements": obj{
			"alternatives": []any{}, "current_deadline": nil, "currently_due": []any{}, "disabled_reason": nil,
			"errors": []any{}, "eventually_due": []any{}, "past_due": []any{}, "pending_verification": []any{},
		},
		"business_profile": obj{
			"annual_revenue": nil, "estimated_worker_count": nil, "mcc": nil, "name": "Trifecta sandbox",
			"product_description": nil, "support_address": nil, "support_email": nil, "support_phone": nil, "support_url": nil, "url": nil,
		},
	}
}
