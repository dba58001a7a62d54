package httpapi

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// maxEvidenceBody is the largest body of evidence, in bytes: documents come in it.
const maxEvidenceBody = 5 << 20

var disputeStatuses = []payment.DisputeStatus{
	payment.DisputeNeedsResponse, payment.DisputeUnderReview, payment.DisputeWon, payment.DisputeLost, payment.DisputeClosed,
}

func disputeFilter(raw string) (gateway.DisputeFilter, error) {
	q, err := parseQuery(raw)
	if err != nil {
		return gateway.DisputeFilter{}, err
	}
	f := gateway.DisputeFilter{
		Status: payment.DisputeStatus(q.text("status", 64)), Provider: q.text("provider", 40), Payment: q.text("payment", 64),
		CreatedFrom: q.time("created_from"), CreatedTo: q.time("created_to"), DueBefore: q.time("due_before"),
	}
	if f.Status != "" && !slices.Contains(disputeStatuses, f.Status) {
		q.f.add("?status", "must be a status of disputes")
	}
	f.Limit, f.After = q.page(defaultPage)
	return f, q.err()
}

func (a *api) listDisputes(c *gin.Context) error {
	f, err := disputeFilter(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	found, next, err := a.svc.ListDisputes(c.Request.Context(), callerOf(c), f)
	return answerList(a, c, found, next, err, disputeRecordOf)
}

func (a *api) getDispute(c *gin.Context) error {
	id, err := idParam(c, "dsp")
	if err != nil {
		return err
	}
	if err := noQuery(c.Request.URL.RawQuery); err != nil {
		return err
	}
	v, err := a.svc.Dispute(c.Request.Context(), callerOf(c), id)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, disputeViewOf(v))
}

func (a *api) acceptDispute(c *gin.Context) error {
	id, err := idParam(c, "dsp")
	if err != nil {
		return err
	}
	var b struct {
		Reason string `json:"reason,omitempty"`
	}
	if err := bindOptional(body(c), func(o *object) { o.str("reason", &b.Reason) }); err != nil {
		return err
	}
	r, err := a.request(c, "/v1/disputes/"+id+"/accept", b)
	if err != nil {
		return err
	}
	ans, err := a.svc.AcceptDispute(c.Request.Context(), r, id, b.Reason)
	return a.answeredDispute(c, id, ans, err)
}

func (a *api) giveEvidence(c *gin.Context) error {
	id, err := idParam(c, "dsp")
	if err != nil {
		return err
	}
	b, err := bindEvidence(body(c))
	if err != nil {
		return err
	}
	r, err := a.request(c, "/v1/disputes/"+id+"/evidence", b)
	if err != nil {
		return err
	}
	ans, err := a.svc.GiveEvidence(c.Request.Context(), r, id, b)
	return a.answeredDispute(c, id, ans, err)
}

// answeredDispute writes the dispute after a command about it.
func (a *api) answeredDispute(c *gin.Context, id string, ans gateway.Answer, err error) error {
	if err != nil {
		markReplay(c, ans.Replayed)
		return err
	}
	v, err := a.svc.Dispute(c.Request.Context(), callerOf(c), id)
	if err != nil {
		return err
	}
	return a.answered(c, ans, http.StatusOK, disputeViewOf(v))
}

// bindEvidence reads evidence: texts by their names, those of shipping in an object
// of their own, and documents.
func bindEvidence(raw []byte) (gateway.EvidenceInput, error) {
	in := gateway.EvidenceInput{Texts: map[string]string{}}
	n, err := parseJSON(raw)
	if err != nil {
		return in, err
	}
	f := &faults{}
	o := f.object(n, "")
	shipping := (*object)(nil)
	if n, at, ok := o.take("shipping"); ok {
		shipping = f.object(n, at)
	}
	for _, kind := range payment.EvidenceTexts() {
		from, name := o, kind
		if rest, nested := strings.CutPrefix(kind, "shipping."); nested {
			from, name = shipping, rest
		}
		if from != nil && from.has(name) {
			text := ""
			from.str(name, &text)
			in.Texts[kind] = text
		}
	}
	if shipping != nil {
		shipping.done()
	}
	o.list("files", func(n node, at string) {
		var file gateway.FileInput
		var content string
		fo := f.object(n, at)
		fo.str("name", &file.Name)
		fo.str("type", &file.Type)
		fo.str("content", &content)
		fo.done()
		data, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			f.add(at+"/content", "must be base64, with padding and without line breaks")
		}
		file.Data = data
		in.Files = append(in.Files, file)
	})
	o.boolean("submit", &in.Submit)
	o.done()
	return in, f.err()
}
