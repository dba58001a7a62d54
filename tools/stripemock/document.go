package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// maxBody bounds what is read of one body to judge; Stripe's answers are far
// smaller.
const maxBody = 8 << 20

// document is the part of Stripe's OpenAPI document that describes answers.
type document struct {
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
	Paths map[string]map[string]*operation `json:"paths"`
}

type operation struct {
	Responses map[string]struct {
		Content map[string]struct {
			Schema *schema `json:"schema"`
		} `json:"content"`
	} `json:"responses"`
}

func parseDocument(raw []byte) (*document, error) {
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("parse OpenAPI document: %w", err)
	}
	return &d, nil
}

// responseSchema finds the schema of an operation's JSON answer. status "200"
// is success; anything without an entry of its own is the "default" (error)
// answer.
func (d *document) responseSchema(method, path, status string) (*schema, error) {
	op, err := d.operation(method, path)
	if err != nil {
		return nil, err
	}
	answer, ok := op.Responses[status]
	if !ok {
		answer = op.Responses["default"]
	}
	media, ok := answer.Content["application/json"]
	if !ok || media.Schema == nil {
		return nil, fmt.Errorf("%s %s has no JSON answer for status %s", method, path, status)
	}
	return media.Schema, nil
}

// operation matches a concrete path; of several templates the one with the
// most literal segments wins (/v1/invoices/upcoming before /v1/invoices/{id}).
func (d *document) operation(method, path string) (*operation, error) {
	path, _, _ = strings.Cut(path, "?")
	segs := strings.Split(strings.Trim(path, "/"), "/")
	var best *operation
	bestLiterals, known := -1, false
	for template, methods := range d.Paths {
		literals, ok := matchTemplate(strings.Split(strings.Trim(template, "/"), "/"), segs)
		if !ok {
			continue
		}
		known = true
		if op := methods[strings.ToLower(method)]; op != nil && literals > bestLiterals {
			best, bestLiterals = op, literals
		}
	}
	switch {
	case best != nil:
		return best, nil
	case known:
		return nil, fmt.Errorf("the document has no %s on %s", method, path)
	default:
		return nil, fmt.Errorf("the document has no path %s", path)
	}
}

func matchTemplate(template, segs []string) (literals int, ok bool) {
	if len(template) != len(segs) {
		return 0, false
	}
	for i, t := range template {
		switch {
		case strings.HasPrefix(t, "{"):
			if segs[i] == "" {
				return 0, false
			}
		case t == segs[i]:
			literals++
		default:
			return 0, false
		}
	}
	return literals, true
}

func (d *document) serveResponse(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	method, status := q.Get("method"), q.Get("status")
	if method == "" {
		method = http.MethodGet
	}
	if status == "" {
		status = "200"
	}
	if _, err := strconv.Atoi(status); err != nil || q.Get("path") == "" {
		answer(w, http.StatusBadRequest, "path is required and status must be a number")
		return
	}
	s, err := d.responseSchema(method, q.Get("path"), status)
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	d.judge(w, r, func(any) (*schema, error) { return s, nil })
}

func (d *document) serveObject(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("schema")
	d.judge(w, r, func(v any) (*schema, error) {
		if m, ok := v.(map[string]any); ok && name == "" {
			name, _ = m["object"].(string)
		}
		s := d.Components.Schemas[name]
		if s == nil {
			return nil, fmt.Errorf("the document has no schema %q", name)
		}
		return s, nil
	})
}

// judge reads the body, validates it and writes the verdict.
func (d *document) judge(w http.ResponseWriter, r *http.Request, pick func(any) (*schema, error)) {
	var v any
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		answer(w, http.StatusUnprocessableEntity, "body is not JSON: "+err.Error())
		return
	}
	if _, err := dec.Token(); err != io.EOF {
		answer(w, http.StatusUnprocessableEntity, "body has data after the JSON value")
		return
	}
	s, err := pick(v)
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	if reasons := d.check(s, v, ""); len(reasons) > 0 {
		answer(w, http.StatusUnprocessableEntity, reasons...)
		return
	}
	answer(w, http.StatusOK)
}

func answer(w http.ResponseWriter, status int, reasons ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body := map[string]any{"valid": len(reasons) == 0}
	if len(reasons) > 0 {
		body["reasons"] = reasons
	}
	// The client is a test on this machine; if it hung up there is nobody to tell.
	_ = json.NewEncoder(w).Encode(body)
}
