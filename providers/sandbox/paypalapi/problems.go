package paypalapi

import (
	_ "embed" // the list of issues
	"encoding/json"
	"fmt"
	"net/http"
)

// issuesJSON lists, for each operation, the issues it can answer with their status
// and description, as printed in PayPal's OpenAPI documents of Orders v2 and
// Payments v2 (Apache-2.0), plus three that the real API answers and the documents
// forgot (INSTRUMENT_DECLINED on authorize, ACTION_DOES_NOT_MATCH_INTENT on capture,
// DECIMALS_NOT_SUPPORTED on create and patch).
//
//go:embed issues.json
var issuesJSON []byte

type issue struct {
	Status      int    `json:"status"`
	Description string `json:"description"`
}

func readIssues() (map[string]map[string]issue, error) {
	var out map[string]map[string]issue
	if err := json.Unmarshal(issuesJSON, &out); err != nil {
		return nil, fmt.Errorf("paypalapi: list of issues: %w", err)
	}
	return out, nil
}

// problemJSON is PayPal's error body.
type problemJSON struct {
	Name    string       `json:"name"`
	Message string       `json:"message"`
	DebugID string       `json:"debug_id"`
	Details []detailJSON `json:"details,omitempty"`
	Links   []link       `json:"links,omitempty"`
}

type detailJSON struct {
	Field       string `json:"field,omitempty"`
	Value       string `json:"value,omitempty"`
	Location    string `json:"location,omitempty"`
	Issue       string `json:"issue"`
	Description string `json:"description,omitempty"`
}

// fault says where in the request an issue lies. All fields may be empty.
type fault struct{ field, value, location string }

// problems are the names and messages that PayPal's documents fix for each status.
var problems = map[int]problemJSON{
	http.StatusBadRequest:          {Name: "INVALID_REQUEST", Message: "Request is not well-formed, syntactically incorrect, or violates schema."},
	http.StatusUnauthorized:        {Name: "AUTHENTICATION_FAILURE", Message: "Authentication failed due to missing authorization header, or invalid authentication credentials."},
	http.StatusForbidden:           {Name: "NOT_AUTHORIZED", Message: "Authorization failed due to insufficient permissions."},
	http.StatusNotFound:            {Name: "RESOURCE_NOT_FOUND", Message: "The specified resource does not exist."},
	http.StatusConflict:            {Name: "RESOURCE_CONFLICT", Message: "The server has detected a conflict while processing this request."},
	http.StatusUnprocessableEntity: {Name: "UNPROCESSABLE_ENTITY", Message: "The requested action could not be performed, semantically incorrect, or failed business validation."},
}

// fail answers an issue with the status and description that PayPal documents for
// this operation; an issue the operation does not list is a 422 without description.
func (c *call) fail(name string, f fault) reply {
	is, ok := c.s.issues[c.op][name]
	if !ok {
		is.Status = http.StatusUnprocessableEntity
	}
	p := problems[is.Status]
	p.Details = []detailJSON{{Field: f.field, Value: f.value, Location: f.location, Issue: name, Description: is.Description}}
	p.Links = []link{{Href: "https://developer.paypal.com/api/rest/reference/orders/v2/errors/#" + name, Rel: "information_link", Method: http.MethodGet}}
	return reply{is.Status, p}
}

// bad is fail for a place in the body.
func (c *call) bad(name, field, value string) reply {
	return c.fail(name, fault{field: field, value: value, location: "body"})
}

// notFound answers that the object in the path does not exist (or exists no more).
func (c *call) notFound() reply {
	p := problems[http.StatusNotFound]
	p.Details = []detailJSON{{
		Issue:       "INVALID_RESOURCE_ID",
		Description: "Specified resource ID does not exist. Please check the resource ID and try again.",
	}}
	return reply{http.StatusNotFound, p}
}

// invalid answers 400 for the v1 APIs, whose documents leave issues open.
func invalid(field, name, description string) reply {
	p := problems[http.StatusBadRequest]
	p.Details = []detailJSON{{Field: field, Issue: name, Description: description}}
	return reply{http.StatusBadRequest, p}
}

// instrumentDeclined sends the buyer back to the same order for another funding.
func (c *call) instrumentDeclined(o *order) reply {
	a := c.fail("INSTRUMENT_DECLINED", fault{})
	p, ok := a.body.(problemJSON)
	if !ok {
		return a
	}
	for _, rel := range []string{"redirect", "payer-action"} {
		p.Links = append(p.Links, link{Href: c.s.approveURL(o), Rel: rel, Method: http.MethodGet})
	}
	return reply{a.status, p}
}
