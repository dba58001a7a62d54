package paypalspec

import (
	"errors"
	"fmt"
)

// patch repairs known faults of one document before it is loaded. Each entry says
// what the real API does that the document forbids; nothing else is loosened.
func patch(name string, doc map[string]any) error {
	switch name {
	case "checkout_orders_v2.json":
		// The real API answers these, the lists of issues lack them.
		return errors.Join(
			allowIssue(doc, "orders.authorize-422", "INSTRUMENT_DECLINED"),
			allowIssue(doc, "orders.capture-422", "ACTION_DOES_NOT_MATCH_INTENT"),
			allowIssue(doc, "422", "DECIMALS_NOT_SUPPORTED"),
			allowIssue(doc, "orders.patch-422", "DECIMALS_NOT_SUPPORTED"),
		)
	case "payments_payment_v2.json":
		return allowReplays(doc)
	case "notifications_webhooks_v1.json":
		return allowHyphens(doc)
	case "customer_disputes_v1.json":
		return allowJSONClaims(doc)
	}
	return nil
}

// at follows keys through nested objects.
func at(v any, keys ...string) (map[string]any, error) {
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("patch: no object at %q", k)
		}
		v = m[k]
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("patch: no object at %v", keys)
	}
	return m, nil
}

// allowIssue adds one issue to a schema's list of alternatives.
func allowIssue(doc map[string]any, schema, issue string) error {
	items, err := at(doc, "components", "schemas", schema, "properties", "details", "items")
	if err != nil {
		return err
	}
	list, ok := items["anyOf"].([]any)
	if !ok {
		return fmt.Errorf("patch: %s has no anyOf", schema)
	}
	items["anyOf"] = append(list, map[string]any{
		"title":      issue,
		"properties": map[string]any{"issue": map[string]any{"type": "string", "enum": []any{issue}}},
	})
	return nil
}

// allowReplays documents what PayPal's idempotency page says: repeating a POST with
// the same PayPal-Request-Id answers 200 with the same body as the first 201.
func allowReplays(doc map[string]any) error {
	for _, p := range []string{
		"/v2/payments/authorizations/{authorization_id}/capture",
		"/v2/payments/authorizations/{authorization_id}/reauthorize",
		"/v2/payments/captures/{capture_id}/refund",
	} {
		responses, err := at(doc, "paths", p, "post", "responses")
		if err != nil {
			return err
		}
		responses["200"] = responses["201"]
	}
	return nil
}

// allowHyphens repairs the patterns of event and webhook ids: real ones are WH-….
func allowHyphens(doc map[string]any) error {
	paths, err := at(doc, "paths")
	if err != nil {
		return err
	}
	for _, p := range paths {
		path, _ := p.(map[string]any)
		for _, o := range path {
			op, _ := o.(map[string]any)
			params, _ := op["parameters"].([]any)
			for _, raw := range params {
				param, _ := raw.(map[string]any)
				dropPattern(param)
			}
		}
	}
	if params, err := at(doc, "components", "parameters"); err == nil {
		for _, raw := range params {
			param, _ := raw.(map[string]any)
			dropPattern(param)
		}
	}
	for _, s := range []string{"verify_webhook_signature", "simulate_event"} {
		prop, err := at(doc, "components", "schemas", s, "properties", "webhook_id")
		if err != nil {
			return err
		}
		delete(prop, "pattern")
	}
	return nil
}

func dropPattern(param map[string]any) {
	if param["name"] != "event_id" && param["name"] != "webhook_id" {
		return
	}
	if schema, ok := param["schema"].(map[string]any); ok {
		delete(schema, "pattern")
	}
}

// allowJSONClaims adds the JSON form of accept-claim, which PayPal's published
// collections use; the document knows only the multipart form.
func allowJSONClaims(doc map[string]any) error {
	content, err := at(doc, "paths", "/v1/customer/disputes/{id}/accept-claim", "post", "requestBody", "content")
	if err != nil {
		return err
	}
	str := map[string]any{"type": "string", "maxLength": 2000}
	if err := allowInputParts(doc); err != nil {
		return err
	}
	content["application/json"] = map[string]any{"schema": map[string]any{
		"type": "object",
		"properties": map[string]any{
			"note": str, "accept_claim_reason": str, "accept_claim_type": str, "invoice_id": str,
		},
	}}
	return nil
}

// allowInputParts adds the JSON part "input" and documents file1 to file9 to the
// multipart forms of a seller's answer (PayPal docs: integration guide of disputes,
// "-F input=…;type=application/json -F file1=@…"): the document names one file only.
// What the part holds is judged by the document's own schemas.
func allowInputParts(doc map[string]any) error {
	text := map[string]any{"type": "string", "minLength": 1, "maxLength": 2000}
	inputs := map[string]map[string]any{
		"accept-claim":            {"note": text, "accept_claim_type": map[string]any{"$ref": "#/components/schemas/accept_claim_type"}},
		"provide-supporting-info": {"notes": text},
		"evidences": {"evidences": map[string]any{
			"type": "array", "minItems": 1, "maxItems": 100, "items": map[string]any{"$ref": "#/components/schemas/evidence"},
		}},
	}
	for action, properties := range inputs {
		path := []string{"paths", "/v1/customer/disputes/{id}/" + action, "post", "requestBody", "content", "multipart/form-data"}
		if action == "evidences" { // provide-evidence points there
			path = []string{"components", "requestBodies", action, "content", "multipart/form-data"}
		}
		form, err := at(doc, path...)
		if err != nil {
			return err
		}
		parts := map[string]any{"input": map[string]any{"type": "object", "properties": properties, "additionalProperties": false}}
		for n := 1; n <= 9; n++ {
			parts[fmt.Sprintf("file%d", n)] = map[string]any{"type": "string", "format": "binary"}
		}
		form["schema"] = map[string]any{"type": "object", "required": []any{"input"}, "properties": parts}
	}
	return nil
}
