package stripeapi

import "time"

// The render functions write objects in the shapes of API 2023-10-16, every field
// that Stripe's OpenAPI document requires included, references as ids.

func metaObj(m map[string]string) obj {
	o := obj{}
	for k, v := range m {
		o[k] = v
	}
	return o
}

// idOrNull is a reference.
func idOrNull[T record](v T, ok bool) any {
	if !ok {
		return nil
	}
	return v.ID()
}

func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return unix(t)
}

func (a *API) renderSession(s *session) obj {
	f := s.form
	o := obj{
		"id": s.id, "object": "checkout.session", "livemode": false, "mode": "payment", "ui_mode": "hosted",
		"created": unix(s.created), "expires_at": unix(s.expires), "status": s.status, "payment_status": s.payStatus(),
		"amount_subtotal": s.subtotal, "amount_total": s.total(), "currency": s.currency,
		"total_details": obj{"amount_discount": s.discount, "amount_shipping": s.shipping, "amount_tax": s.tax},
		"automatic_tax": s.automaticTax(), "allow_promotion_codes": boolOrNull(f, "allow_promotion_codes"),
		"success_url": orNull(f.get("success_url")), "cancel_url": orNull(f.get("cancel_url")), "url": nil,
		"client_reference_id": orNull(f.get("client_reference_id")), "client_secret": nil,
		"customer": idOrNull(s.customer, s.customer != nil), "customer_creation": orNull(f.get("customer_creation")),
		"customer_email": orNull(f.get("customer_email")), "customer_details": s.details(),
		"payment_intent": idOrNull(s.intent, s.intent != nil), "payment_method_types": sessionMethodTypes(s),
		"payment_method_options": obj{}, "payment_method_configuration_details": nil,
		"payment_method_collection": "if_required", "payment_link": nil,
		"metadata": metaObj(s.meta), "locale": orNull(f.get("locale")), "submit_type": orNull(f.get("submit_type")),
		"after_expiration": nil, "billing_address_collection": orNull(f.get("billing_address_collection")),
		"consent": nil, "consent_collection": nil, "currency_conversion": nil, "custom_fields": []any{},
		"custom_text": obj{"after_submit": nil, "shipping_address": nil, "submit": nil, "terms_of_service_acceptance": nil},
		"invoice":     nil, "invoice_creation": obj{"enabled": false, "invoice_data": obj{
			"account_tax_ids": nil, "custom_fields": nil, "description": nil, "footer": nil, "issuer": nil, "metadata": obj{}, "rendering_options": nil,
		}},
		"phone_number_collection": obj{"enabled": f.flag("phone_number_collection[enabled]")}, "recovered_from": nil,
		"setup_intent": nil, "subscription": nil, "shipping_address_collection": nil, "shipping_cost": nil,
		"shipping_details": nil, "shipping_options": []any{},
	}
	if s.status == "open" {
		o["url"] = s.url
	}
	if countries := f.list("shipping_address_collection[allowed_countries]"); len(countries) > 0 {
		o["shipping_address_collection"] = obj{"allowed_countries": countries}
	}
	if s.form.under("shipping_options[0]") {
		rate := "shr_" + s.id[len(s.id)-24:]
		o["shipping_options"] = []any{obj{"shipping_amount": s.shipping, "shipping_rate": rate}}
		o["shipping_cost"] = obj{"amount_subtotal": s.shipping, "amount_tax": 0, "amount_total": s.shipping, "shipping_rate": rate}
	}
	return o
}

// payStatus is "paid" only once the money is ours: an authorization alone, or a bank
// debit under way, is complete but unpaid (Stripe docs: session payment_status).
func (s *session) payStatus() string {
	switch {
	case s.total() == 0:
		return "no_payment_required"
	case s.intent != nil && s.intent.status == "succeeded":
		return "paid"
	default:
		return "unpaid"
	}
}

func (s *session) automaticTax() obj {
	if !s.form.flag("automatic_tax[enabled]") {
		return obj{"enabled": false, "liability": nil, "status": nil}
	}
	status := "requires_location_inputs"
	if s.status == "complete" {
		status = "complete"
	}
	return obj{"enabled": true, "liability": obj{"type": "self"}, "status": status}
}

func (s *session) details() any {
	email := s.email
	if email == "" {
		email = s.form.get("customer_email")
	}
	if email == "" && s.name == "" {
		return nil
	}
	return obj{"address": nil, "email": orNull(email), "name": orNull(s.name), "phone": nil, "tax_exempt": "none", "tax_ids": nil}
}

func sessionMethodTypes(s *session) []string {
	if types := s.form.list("payment_method_types"); len(types) > 0 {
		return types
	}
	return []string{"card"}
}

func boolOrNull(f form, key string) any {
	if !f.has(key) {
		return nil
	}
	return f.flag(key)
}

func renderItems(s *session) obj {
	data := make([]any, len(s.items))
	for i, it := range s.items {
		sub := it.unit * it.quantity
		data[i] = obj{
			"id": it.id, "object": "item", "amount_subtotal": sub, "amount_discount": it.discount, "amount_tax": it.tax,
			"amount_total": sub - it.discount + it.tax, "currency": s.currency, "description": it.name, "quantity": it.quantity,
			"price": obj{
				"id": it.priceID, "object": "price", "active": false, "billing_scheme": "per_unit", "created": unix(s.created),
				"currency": s.currency, "custom_unit_amount": nil, "livemode": false, "lookup_key": nil, "metadata": obj{}, "nickname": nil,
				"product": it.productID, "recurring": nil, "tax_behavior": "unspecified", "tiers_mode": nil, "transform_quantity": nil,
				"type": "one_time", "unit_amount": it.unit, "unit_amount_decimal": decimal(it.unit),
			},
		}
	}
	return list("/v1/checkout/sessions/"+s.id+"/line_items", data, false)
}

func (a *API) renderIntent(p *intent) obj {
	o := obj{
		"id": p.id, "object": "payment_intent", "livemode": false, "created": unix(p.created), "status": p.status,
		"amount": p.amount, "amount_capturable": p.capturable, "amount_received": p.received, "currency": p.currency,
		"amount_details": obj{"tip": obj{}}, "application": nil, "application_fee_amount": nil,
		"automatic_payment_methods": nil, "canceled_at": timeOrNull(p.canceledAt), "cancellation_reason": orNull(p.cancelReason),
		"capture_method": p.capture, "client_secret": p.id + "_secret_" + p.id[len(p.id)-12:], "confirmation_method": "automatic",
		"customer": idOrNull(p.customer, p.customer != nil), "description": orNull(p.param("description")), "invoice": nil,
		"last_payment_error": nil, "latest_charge": idOrNull(p.latest, p.latest != nil), "metadata": metaObj(p.meta),
		"next_action": nil, "on_behalf_of": nil, "payment_method": idOrNull(p.method, p.method != nil),
		"payment_method_configuration_details": nil, "payment_method_options": obj{}, "payment_method_types": []string{"card"},
		"processing": nil, "receipt_email": orNull(p.param("receipt_email")), "review": p.review(),
		"setup_future_usage": orNull(p.param("setup_future_usage")), "shipping": nil,
		"statement_descriptor":        orNull(p.param("statement_descriptor")),
		"statement_descriptor_suffix": orNull(p.param("statement_descriptor_suffix")),
		"transfer_data":               nil, "transfer_group": orNull(p.param("transfer_group")),
	}
	if p.method != nil {
		o["payment_method_types"] = []string{p.method.kind}
	}
	if p.lastError != nil {
		e := *p.lastError
		e.intent = nil // an error inside its own intent does not repeat it
		o["last_payment_error"] = e.wire(a)
	}
	if p.status == "requires_action" {
		o["next_action"] = obj{"type": "redirect_to_url", "redirect_to_url": obj{"url": p.nextURL, "return_url": orNull(p.param("return_url"))}}
	}
	return o
}

func (a *API) renderCharge(c *charge) obj {
	p := c.intent
	refunded := c.refundedSum() + c.released
	o := obj{
		"id": c.id, "object": "charge", "livemode": false, "created": unix(c.created), "status": c.status,
		"amount": c.amount, "amount_captured": c.captured, "amount_refunded": refunded, "currency": c.currency,
		"application": nil, "application_fee": nil, "application_fee_amount": nil,
		"balance_transaction": idOrNull(c.txn, c.txn != nil), "billing_details": c.method.billing(),
		"calculated_statement_descriptor": "TRIFECTA SANDBOX", "captured": c.done || c.status == "pending",
		"customer": idOrNull(p.customer, p.customer != nil), "description": orNull(p.param("description")),
		"disputed": len(c.disputes) > 0, "failure_balance_transaction": idOrNull(c.failTxn, c.failTxn != nil), "failure_code": nil, "failure_message": nil,
		"fraud_details": obj{}, "invoice": nil, "metadata": metaObj(c.meta), "on_behalf_of": nil, "outcome": c.outcome(),
		"paid": c.status == "succeeded", "payment_intent": p.id, "payment_method": c.method.id,
		"payment_method_details": c.methodDetails(), "radar_options": obj{}, "receipt_email": orNull(p.param("receipt_email")),
		"receipt_number": nil, "receipt_url": nil, "refunded": refunded > 0 && refunded >= c.amount, "review": idOrNull(c.review, c.review != nil), "shipping": nil,
		"source_transfer": nil, "statement_descriptor": orNull(p.param("statement_descriptor")),
		"statement_descriptor_suffix": orNull(p.param("statement_descriptor_suffix")),
		"transfer_data":               nil, "transfer_group": orNull(p.param("transfer_group")),
	}
	if c.failure != nil {
		o["failure_code"], o["failure_message"] = c.failure.code, c.failure.msg
	}
	return o
}

// outcome says what the network and Radar thought (Stripe docs: charge outcome).
func (c *charge) outcome() any {
	if c.status == "pending" {
		return nil
	}
	risk, score := c.method.card.risk, 20
	switch risk {
	case "elevated":
		score = 70
	case "highest":
		score = 90
	default:
		risk = "normal"
	}
	o := obj{
		"network_status": "approved_by_network", "reason": nil, "risk_level": risk, "risk_score": score,
		"seller_message": "Payment complete.", "type": "authorized",
	}
	if c.failure != nil {
		o["network_status"], o["type"] = "declined_by_network", "issuer_declined"
		o["reason"], o["seller_message"] = orNull(c.failure.decline), "The bank returned the decline code `"+c.failure.decline+"`."
		if c.method.card.blocked {
			o["network_status"], o["type"] = "not_sent_to_network", "blocked"
			o["reason"], o["seller_message"] = "highest_risk_level", "Stripe blocked this payment as too risky."
		}
	}
	return o
}

func (c *charge) methodDetails() obj {
	m := c.method
	if m.kind != "card" {
		return obj{"type": m.kind, m.kind: m.bank()}
	}
	card := m.cardObj()
	card["amount_authorized"] = c.amount
	card["extended_authorization"] = obj{"status": "disabled"}
	card["incremental_authorization"] = obj{"status": "unavailable"}
	card["multicapture"] = obj{"status": availability(c.intent.multicapture)}
	card["overcapture"] = obj{"maximum_amount_capturable": c.amount, "status": "unavailable"}
	card["installments"], card["mandate"], card["wallet"] = nil, nil, nil
	card["network"], card["network_token"] = m.card.brand, obj{"used": false}
	card["three_d_secure"] = nil
	if c.auth3DS {
		card["three_d_secure"] = obj{
			"authentication_flow": "challenge", "electronic_commerce_indicator": "05",
			"result": "authenticated", "result_reason": nil, "transaction_id": nil, "version": "2.2.0",
		}
	}
	if !c.expires.IsZero() && !c.done {
		card["capture_before"] = unix(c.expires)
	}
	return obj{"type": "card", "card": card}
}

func availability(on bool) string {
	if on {
		return "available"
	}
	return "unavailable"
}

func (m *method) cardObj() obj {
	return obj{
		"brand": m.card.brand, "country": m.card.country, "exp_month": 12, "exp_year": m.created.Year() + 3,
		"fingerprint": m.card.fingerprint(), "funding": m.card.funding, "last4": m.card.last4(),
		"checks": obj{"address_line1_check": nil, "address_postal_code_check": nil, "cvc_check": "pass"},
	}
}

func (m *method) bank() obj {
	o := obj{"fingerprint": "FFFFFFFFFFFF3000", "last4": "3000"}
	if m.kind == "sepa_debit" {
		o["bank_code"], o["branch_code"], o["country"] = "37040044", nil, "DE"
		o["mandate"] = nil
		return o
	}
	o["account_holder_type"], o["account_type"] = "individual", "checking"
	o["bank_name"], o["routing_number"] = "STRIPE TEST BANK", "110000000"
	return o
}

func (m *method) billing() obj {
	return obj{
		"address": obj{"city": nil, "country": nil, "line1": nil, "line2": nil, "postal_code": nil, "state": nil},
		"email":   orNull(m.email), "name": orNull(m.name), "phone": nil,
	}
}

func (a *API) renderMethod(m *method) obj {
	o := obj{
		"id": m.id, "object": "payment_method", "livemode": false, "created": unix(m.created), "type": m.kind,
		"billing_details": m.billing(), "customer": idOrNull(m.customer, m.customer != nil), "metadata": obj{},
	}
	if m.kind != "card" {
		bank := m.bank()
		delete(bank, "mandate")
		if m.kind == "us_bank_account" {
			bank["financial_connections_account"], bank["networks"], bank["status_details"] = nil, nil, nil
		} else {
			bank["generated_from"] = nil
		}
		o[m.kind] = bank
		return o
	}
	card := m.cardObj()
	card["generated_from"], card["wallet"] = nil, nil
	card["networks"] = obj{"available": []string{m.card.brand}, "preferred": nil}
	card["three_d_secure_usage"] = obj{"supported": true}
	o["card"] = card
	return o
}
