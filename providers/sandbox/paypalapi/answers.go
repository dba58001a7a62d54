package paypalapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"
)

// evidenceJSON is evidence, or supporting information, as it is given and shown.
type evidenceJSON struct {
	Type      string         `json:"evidence_type,omitempty"`
	Info      map[string]any `json:"evidence_info,omitempty"`
	Documents []documentJSON `json:"documents,omitempty"`
	Notes     string         `json:"notes,omitempty"`
	Source    string         `json:"source,omitempty"`
	Date      string         `json:"date,omitempty"`
	Provided  string         `json:"provided_time,omitempty"`
	Stage     string         `json:"dispute_life_cycle_stage,omitempty"`
}

type documentJSON struct {
	Name string `json:"name"`
}

// Limits of what a seller hands in (PayPal OpenAPI customer disputes v1: evidence
// notes, document name; PayPal docs: documents, 10 MB a file).
const (
	maxNotes    = 2000
	maxDocument = 10 << 20
)

var (
	evidenceType = regexp.MustCompile(`^[0-9A-Z_]{1,255}$`)
	documentName = regexp.MustCompile(`^[A-Za-z0-9_,\s-]+[.][A-Za-z]+$`)
)

// handedIn is a body of the seller's: JSON, or multipart with a JSON part "input" and
// documents.
type handedIn struct {
	input []byte
	files []string
}

// readAnswer reads what came; an empty body is nothing.
func (c *call) readAnswer() (handedIn, error) {
	header := c.r.Header.Get("Content-Type")
	if len(c.body) == 0 || !strings.HasPrefix(header, "multipart/form-data") {
		return handedIn{input: c.body}, nil
	}
	_, params, err := mime.ParseMediaType(header)
	if err != nil {
		return handedIn{}, fmt.Errorf("content type: %w", err)
	}
	var out handedIn
	parts := multipart.NewReader(bytes.NewReader(c.body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF { //nolint:errorlint // NextPart returns it bare
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("parts: %w", err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return out, fmt.Errorf("part: %w", err)
		}
		switch {
		case part.FormName() == "input":
			out.input = data
		case part.FileName() == "" || len(data) > maxDocument || !documentName.MatchString(part.FileName()):
			return out, fmt.Errorf("a document is not one: %q", part.FileName())
		default:
			out.files = append(out.files, part.FileName())
		}
	}
}

// acceptClaim is POST /v1/customer/disputes/{id}/accept-claim: the seller gives in,
// PayPal pays the buyer.
func (s *server) acceptClaim(c *call) reply {
	return s.answerDispute(c, func(d *dispute, in handedIn) *reply {
		var body struct {
			Note string `json:"note"`
			Type string `json:"accept_claim_type"`
		}
		if err := unmarshal(in.input, &body); err != nil || len(body.Note) > maxNotes || !strings.Contains(" REFUND ", " "+body.Type+" ") && body.Type != "" {
			bad := invalid("accept_claim_type", "INVALID_PARAMETER_VALUE", "The value of a field is invalid.")
			return &bad
		}
		s.decide(d, outcomeAccepted)
		return nil
	})
}

func unmarshal(raw []byte, into any) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	return nil
}

// provideEvidence is POST /v1/customer/disputes/{id}/provide-evidence: PayPal now
// reviews the case. A test decides it.
func (s *server) provideEvidence(c *call) reply {
	return s.answerDispute(c, func(d *dispute, in handedIn) *reply {
		var body struct {
			Evidences []evidenceJSON `json:"evidences"`
		}
		if err := unmarshal(in.input, &body); err != nil {
			bad := invalid("evidences", "INVALID_PARAMETER_SYNTAX", "The value of a field does not conform to the expected format.")
			return &bad
		}
		for _, e := range body.Evidences {
			if !evidenceType.MatchString(e.Type) || len(e.Notes) > maxNotes || !named(e.Documents, in.files) {
				bad := invalid("evidences", "INVALID_PARAMETER_VALUE", "The value of a field is invalid.")
				return &bad
			}
			e.Source, e.Date, e.Stage = "SUBMITTED_BY_SELLER", stampMS(c.now), d.stage
			d.evidence = append(d.evidence, e)
		}
		s.review(d)
		return nil
	})
}

// provideSupportingInfo is POST /v1/customer/disputes/{id}/provide-supporting-info:
// the seller's side of a claim, in notes and documents.
func (s *server) provideSupportingInfo(c *call) reply {
	return s.answerDispute(c, func(d *dispute, in handedIn) *reply {
		var body struct {
			Notes string `json:"notes"`
		}
		if err := unmarshal(in.input, &body); err != nil || d.stage == stageInquiry || len(body.Notes) > maxNotes || body.Notes == "" && len(in.files) == 0 {
			bad := invalid("notes", "INVALID_PARAMETER_VALUE", "The value of a field is invalid.")
			return &bad
		}
		e := evidenceJSON{Notes: body.Notes, Source: "SUBMITTED_BY_SELLER", Provided: stampMS(c.now), Stage: d.stage}
		for _, name := range in.files {
			e.Documents = append(e.Documents, documentJSON{name})
		}
		d.supporting = append(d.supporting, e)
		s.review(d)
		return nil
	})
}

// named says whether every document that is named came along.
func named(documents []documentJSON, files []string) bool {
	for _, d := range documents {
		found := false
		for _, f := range files {
			found = found || f == d.Name
		}
		if !found {
			return false
		}
	}
	return true
}

// review hands the case to PayPal.
func (s *server) review(d *dispute) {
	s.w.Cancel("dispute " + d.id)
	d.status, d.updated = dispReview, s.w.Now()
	s.announceDispute("CUSTOMER.DISPUTE.UPDATED", "A dispute was updated", d)
}

func (s *server) answerDispute(c *call, act func(*dispute, handedIn) *reply) reply {
	d := s.dispute(c.id())
	if d == nil {
		return c.notFound()
	}
	if d.status != dispWaiting {
		p := problems[http.StatusUnprocessableEntity]
		p.Details = []detailJSON{{Issue: "ACTION_NOT_ALLOWED_IN_CURRENT_DISPUTE_STATE"}}
		return reply{http.StatusUnprocessableEntity, p}
	}
	in, err := c.readAnswer()
	if err != nil {
		return invalid("body", "INVALID_PARAMETER_SYNTAX", "The value of a field does not conform to the expected format.")
	}
	if bad := act(d, in); bad != nil {
		return *bad
	}
	return reply{http.StatusOK, map[string]any{"links": []link{{s.base + "/v1/customer/disputes/" + d.id, "self", http.MethodGet}}}}
}
