package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// query reads the parameters of a list, once each. What nobody read at err is
// unknown, and a fault.
type query struct {
	f      faults
	values url.Values
	cursor error // of a bad one
}

func parseQuery(raw string) (*query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, malformed("?", "must be a well-formed query")
	}
	return &query{values: values}, nil
}

func (q *query) text(name string, limit int) string {
	all, ok := q.values[name]
	if !ok {
		return ""
	}
	delete(q.values, name)
	switch v := all[0]; {
	case len(all) > 1:
		q.f.add("?"+name, "must be given once")
	case v == "":
		q.f.add("?"+name, "must not be empty")
	case len(v) > limit || !printable(v):
		q.f.add("?"+name, "must have at most %d bytes, without control characters", limit)
	default:
		return v
	}
	return ""
}

func (q *query) time(name string) time.Time {
	v := q.text(name, 64)
	if v == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		q.f.add("?"+name, "must be an RFC 3339 time such as 2026-01-31T00:00:00Z")
	}
	return t
}

// page reads limit and after.
func (q *query) page(standard int) (limit int, after string) {
	limit = standard
	if v := q.text("limit", 32); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 100 || strconv.Itoa(n) != v {
			q.f.add("?limit", "must be a whole number from 1 to 100")
		}
		limit = n
	}
	return limit, q.after()
}

// after reads a cursor. What no answer can have given is a bad cursor, like one that
// the store does not know.
func (q *query) after() string {
	all, given := q.values["after"]
	if given && len(all) == 1 && (all[0] == "" || len(all[0]) > maxCursor || !printable(all[0])) {
		delete(q.values, "after")
		q.cursor = malformed("?after", "must be the value of next in an earlier answer")
		return ""
	}
	return q.text("after", maxCursor)
}

// maxCursor is the longest cursor that is looked at, in bytes.
const maxCursor = 1024

// pageOnly reads the page asked for of a list that takes no filter.
func pageOnly(c *gin.Context, standard int) (limit int, after string, err error) {
	q, err := parseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return 0, "", err
	}
	limit, after = q.page(standard)
	return limit, after, q.err()
}

// answerList writes what a list brought, each row as wire shows it.
func answerList[T, W any](a *api, c *gin.Context, found []T, next string, err error, wire func(T) W) error {
	if err != nil {
		return portError(err)
	}
	out := make([]W, 0, len(found))
	for _, row := range found {
		out = append(out, wire(row))
	}
	return a.json(c, http.StatusOK, listOf(out, next))
}

func (q *query) err() error {
	for _, name := range sortedKeys(q.values) {
		q.f.add("?"+name, "is not a known query parameter")
	}
	if err := q.f.err(); err != nil {
		return err
	}
	return q.cursor
}

func sortedKeys(v url.Values) []string {
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// printable keeps control characters and broken UTF-8 out of look-ups.
func printable(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// noQuery refuses parameters where none mean anything.
func noQuery(raw string) error {
	q, err := parseQuery(raw)
	if err != nil {
		return err
	}
	return q.err()
}

func paymentFilter(raw string) (gateway.Filter, error) {
	q, err := parseQuery(raw)
	if err != nil {
		return gateway.Filter{}, err
	}
	f := gateway.Filter{
		Status: payment.Status(q.text("status", 64)), Provider: q.text("provider", 40), Reference: q.text("reference", 512),
		Customer: q.text("customer", 1024), CreatedFrom: q.time("created_from"), CreatedTo: q.time("created_to"),
	}
	if f.Status != "" && !slices.ContainsFunc(payment.StatusTable(), func(r payment.StatusRow) bool { return r.Status == f.Status }) {
		q.f.add("?status", "must be a status of payments")
	}
	f.Limit, f.After = q.page(defaultPage)
	return f, q.err()
}

// pageOf cuts one page out of a list that is held whole. The cursor is the key
// of the page's last row, and which one it is where several have that key: two objects
// at a provider may carry the id of one refund of ours.
func pageOf[T any](rows []T, key func(T) string, limit int, after string) (listWire[T], error) {
	cursors, seen := make([]string, len(rows)), map[string]int{}
	for i, r := range rows {
		k := key(r)
		if cursors[i] = k; seen[k] > 0 {
			cursors[i] += "~" + strconv.Itoa(seen[k])
		}
		seen[k]++
	}
	from := 0
	if after != "" {
		if from = slices.Index(cursors, after) + 1; from == 0 {
			return listWire[T]{}, malformed("?after", "must be the value of next in an earlier answer")
		}
	}
	if len(rows)-from <= limit {
		return listOf(rows[from:], ""), nil
	}
	return listOf(rows[from:from+limit], cursors[from+limit-1]), nil
}

// nested reads the payment in the path and the page asked for of a list below it.
func (a *api) nested(c *gin.Context) (id string, limit int, after string, err error) {
	if id, err = idParam(c, "pay"); err != nil {
		return "", 0, "", err
	}
	limit, after, err = pageOnly(c, defaultNested)
	return id, limit, after, err
}

func (a *api) listRefunds(c *gin.Context) error {
	id, limit, after, err := a.nested(c)
	if err != nil {
		return err
	}
	p, err := a.svc.Get(c.Request.Context(), callerOf(c), id)
	if err != nil {
		return err
	}
	var rows []refundWire
	for _, r := range p.Refunds() {
		rows = append(rows, refundOf(p, r))
	}
	slices.Reverse(rows)
	page, err := pageOf(rows, func(r refundWire) string { return r.ID }, limit, after)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, page)
}

func (a *api) listHistory(c *gin.Context) error {
	id, limit, after, err := a.nested(c)
	if err != nil {
		return err
	}
	p, entries, err := a.svc.History(c.Request.Context(), callerOf(c), id)
	if err != nil {
		return err
	}
	var rows []historyWire
	for _, h := range slices.Backward(entries) {
		rows = append(rows, historyOf(p, h))
	}
	page, err := pageOf(rows, func(h historyWire) string { return strconv.FormatInt(h.Version, 10) }, limit, after)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, page)
}

func (a *api) listFunds(c *gin.Context) error {
	id, limit, after, err := a.nested(c)
	if err != nil {
		return err
	}
	p, err := a.svc.Get(c.Request.Context(), callerOf(c), id)
	if err != nil {
		return err
	}
	page, err := pageOf(fundsOf(p), func(m movementWire) string { return m.ID }, limit, after)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, page)
}
