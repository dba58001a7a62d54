package stripeapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"
)

// evidenceLimit is the most that one evidence document may have, in bytes (Stripe
// docs: file uploads, dispute_evidence: 5 MB; JPEG, PDF, PNG).
const evidenceLimit = 5 << 20

// fileFields are the evidence fields that name a document.
var fileFields = strings.Fields(`cancellation_policy customer_communication customer_signature duplicate_charge_documentation receipt
	refund_policy service_documentation shipping_documentation uncategorized_file`)

// readUpload reads a multipart body: its fields, and of its file the name and digest,
// so that idempotency compares what was sent and not how it was framed.
func (c *call) readUpload(body []byte) (url.Values, error) {
	_, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil {
		return nil, fmt.Errorf("content type: %w", err)
	}
	out := url.Values{}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF { //nolint:errorlint // NextPart returns it bare
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parts: %w", err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("part: %w", err)
		}
		if part.FileName() == "" {
			out.Set(part.FormName(), string(data))
			continue
		}
		sum := sha256.Sum256(data)
		out.Set("file_name", part.FileName())
		out.Set("file_digest", hex.EncodeToString(sum[:]))
		c.upload = data
	}
}

// createFile is POST /v1/files: an upload for evidence; other purposes are not
// played.
func (c *call) createFile() (obj, *apiError) {
	switch {
	case c.form.get("purpose") == "":
		return nil, missing("purpose")
	case c.form.get("purpose") != "dispute_evidence":
		return nil, invalid("purpose", "This sandbox takes files for dispute_evidence only.")
	case len(c.upload) == 0:
		return nil, missing("file")
	case len(c.upload) > evidenceLimit:
		return nil, invalid("file", "The file is too large.")
	}
	kind := ""
	for _, k := range []struct{ kind, begins string }{{"pdf", "%PDF-"}, {"jpg", "\xff\xd8\xff"}, {"png", "\x89PNG"}} {
		if bytes.HasPrefix(c.upload, []byte(k.begins)) {
			kind = k.kind
		}
	}
	if kind == "" {
		return nil, invalid("file", "Files of this type are not supported for dispute_evidence.")
	}
	f := &file{
		owner: owner{c.acct, c.platform}, id: c.api.w.NewID("file_", 24), created: c.api.w.Now(), name: c.form.get("file_name"),
		purpose: "dispute_evidence", kind: kind, size: len(c.upload),
	}
	c.api.files.add(f)
	return c.api.renderFile(f), nil
}

func (c *call) getFile() (obj, *apiError) {
	id := c.r.PathValue("id")
	f, ok := c.api.files.find(c.acct, id)
	if !ok {
		return nil, notFound("file", id)
	}
	return c.api.renderFile(f), nil
}

func (a *API) renderFile(f *file) obj {
	return obj{
		"id": f.id, "object": "file", "created": unix(f.created), "expires_at": nil, "filename": f.name, "purpose": f.purpose,
		"size": f.size, "title": nil, "type": f.kind, "url": nil,
		"links": list("/v1/file_links?file="+f.id, []any{}, false),
	}
}

// checkFiles says whether every document that evidence names was uploaded.
func (c *call) checkFiles(evidence map[string]string) *apiError {
	for _, field := range fileFields {
		id := evidence[field]
		if _, ok := c.api.files.find(c.acct, id); id != "" && !ok {
			return invalid("evidence["+field+"]", "No such file upload: '"+id+"'")
		}
	}
	return nil
}

// isFile says whether an evidence field names a document.
func isFile(field string) bool { return slices.Contains(fileFields, field) }
