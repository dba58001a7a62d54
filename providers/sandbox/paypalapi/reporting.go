package paypalapi

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	searchWindow   = 31 * 24 * time.Hour // PayPal OpenAPI reporting v1: maximum range
	maxResults     = 10000               // more: RESULTSET_TOO_LARGE
	maxPageSize    = 500
	searchPageSize = 100
	searchPath     = "/v1/reporting/transactions"
)

// Text that transaction search shows only where the document's pattern allows it.
var (
	reportPattern  = regexp.MustCompile(`^[a-zA-Z0-9_'\-., ":;!?]{1,127}$`)
	invoicePattern = regexp.MustCompile(`^[A-Za-z0-9:\-|]{1,127}$`)
)

// addRow books one line of transaction search; empty times become now, an empty
// status becomes success.
func (s *server) addRow(r row) *row {
	r.created, r.updated = s.w.Now(), s.w.Now()
	if r.status == "" {
		r.status = "S"
	}
	s.rows = append(s.rows, &r)
	return &r
}

type transactionInfoJSON struct {
	PaypalAccountID    string `json:"paypal_account_id,omitempty"`
	TransactionID      string `json:"transaction_id"`
	PaypalReferenceID  string `json:"paypal_reference_id,omitempty"`
	ReferenceIDType    string `json:"paypal_reference_id_type,omitempty"`
	EventCode          string `json:"transaction_event_code"`
	InitiationDate     string `json:"transaction_initiation_date"`
	UpdatedDate        string `json:"transaction_updated_date"`
	Amount             money  `json:"transaction_amount"`
	FeeAmount          *money `json:"fee_amount,omitempty"`
	Status             string `json:"transaction_status"`
	InvoiceID          string `json:"invoice_id,omitempty"`
	CustomField        string `json:"custom_field,omitempty"`
	ProtectionEligible string `json:"protection_eligibility"`
}

type payerInfoJSON struct {
	AccountID     string   `json:"account_id"`
	EmailAddress  string   `json:"email_address"`
	AddressStatus string   `json:"address_status"`
	PayerStatus   string   `json:"payer_status"`
	PayerName     nameJSON `json:"payer_name"`
	CountryCode   string   `json:"country_code"`
}

type transactionJSON struct {
	Info  transactionInfoJSON `json:"transaction_info"`
	Payer *payerInfoJSON      `json:"payer_info,omitempty"`
}

func showRow(r *row, fields []string) transactionJSON {
	out := transactionJSON{Info: transactionInfoJSON{
		TransactionID: r.id, PaypalReferenceID: r.ref, ReferenceIDType: r.refType, EventCode: r.code,
		InitiationDate: stamp(r.created), UpdatedDate: stamp(r.updated), Amount: toMoney(r.amount, r.currency),
		Status: r.status, ProtectionEligible: "01",
	}}
	if r.fee != 0 {
		out.Info.FeeAmount = ptr(toMoney(r.fee, r.currency))
	}
	if reportPattern.MatchString(r.invoice) {
		out.Info.InvoiceID = r.invoice
	}
	if reportPattern.MatchString(r.custom) {
		out.Info.CustomField = r.custom
	}
	if r.payer != nil {
		out.Info.PaypalAccountID = r.payer.PayerID
		if slices.Contains(fields, "all") || slices.Contains(fields, "payer_info") {
			out.Payer = &payerInfoJSON{
				AccountID: r.payer.PayerID, EmailAddress: r.payer.EmailAddress, AddressStatus: "N",
				PayerStatus: "Y", PayerName: r.payer.Name, CountryCode: r.payer.Address.CountryCode,
			}
		}
	}
	return out
}

// search is the query of a transaction search.
type search struct {
	start, end         time.Time
	page, size         int
	fields             []string
	id, code, status   string
	currency           string
	balanceAffectingOK bool // only rows that moved money
}

// takes: a row is found by the time it began, and shows once the index caught up with
// its latest change.
func (q search) takes(r *row, refreshed time.Time) bool {
	switch {
	case r.created.Before(q.start), r.created.After(q.end), r.updated.After(refreshed):
		return false
	case q.balanceAffectingOK && r.status != "S":
		return false
	case q.id != "" && q.id != r.id, q.code != "" && q.code != r.code, q.status != "" && q.status != r.status:
		return false
	}
	return q.currency == "" || q.currency == r.currency
}

func readSearch(v url.Values) (search, *reply) {
	q := search{
		page: 1, size: searchPageSize, fields: strings.Split(v.Get("fields"), ","), id: v.Get("transaction_id"),
		code: v.Get("transaction_type"), status: v.Get("transaction_status"), currency: v.Get("transaction_currency"),
		balanceAffectingOK: v.Get("balance_affecting_records_only") != "N",
	}
	for _, p := range []struct {
		name string
		into *time.Time
	}{{"start_date", &q.start}, {"end_date", &q.end}} {
		t, ok := parseDate(v.Get(p.name))
		if !ok {
			return q, ptr(invalid(p.name, "INVALID_PARAMETER_SYNTAX", "Date must be in Internet date and time format."))
		}
		*p.into = t
	}
	if q.end.Before(q.start) {
		return q, ptr(invalid("end_date", "INVALID_DATE_RANGE", "End date must be after start date."))
	}
	if q.end.Sub(q.start) > searchWindow {
		return q, ptr(invalid("end_date", "INVALID_DATE_RANGE", "Date range is greater than 31 days"))
	}
	for _, p := range []struct {
		name  string
		into  *int
		limit int
	}{{"page", &q.page, 1 << 30}, {"page_size", &q.size, maxPageSize}} {
		raw := v.Get(p.name)
		if raw == "" {
			continue
		}
		n, err := strconv.Atoi(raw)
		if err != nil || n < 1 || n > p.limit {
			return q, ptr(invalid(p.name, "INVALID_PARAMETER_VALUE", "The value of a field is out of range."))
		}
		*p.into = n
	}
	return q, nil
}

// parseDate takes both forms of zone that PayPal's clients send.
func parseDate(raw string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05-0700"} {
		if t, err := time.Parse(layout, raw); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// searchTransactions is GET /v1/reporting/transactions, oldest first. It lags:
// nothing newer than last_refreshed_datetime is shown, and no search may begin there.
func (s *server) searchTransactions(c *call) reply {
	v := c.r.URL.Query()
	q, bad := readSearch(v)
	if bad != nil {
		return *bad
	}
	refreshed := c.now.Add(-s.opt.SearchDelay)
	if q.start.After(refreshed) {
		return notRefreshed()
	}
	var found []*row
	for _, r := range s.rows {
		if q.takes(r, refreshed) {
			found = append(found, r)
		}
	}
	if len(found) > maxResults {
		p := problems[http.StatusBadRequest]
		p.Details = []detailJSON{{Issue: "RESULTSET_TOO_LARGE", Description: "Result set size is greater than the maximum limit. Change the filter criteria and try again."}}
		return reply{http.StatusBadRequest, p}
	}
	pages := (len(found) + q.size - 1) / q.size
	from := min((q.page-1)*q.size, len(found))
	var rows []transactionJSON
	for _, r := range found[from:min(from+q.size, len(found))] {
		rows = append(rows, showRow(r, q.fields))
	}
	out := map[string]any{
		"account_number": merchantID, "start_date": stamp(q.start), "end_date": stamp(q.end),
		"last_refreshed_datetime": stamp(refreshed), "page": q.page, "total_items": len(found), "total_pages": pages,
		"links": s.searchLinks(v, q.page, pages),
	}
	if len(rows) > 0 { // the document wants at least one row, or no list
		out["transaction_details"] = rows
	}
	return reply{http.StatusOK, out}
}

// notRefreshed refuses a search that begins after the latest refresh. The document does
// not have this answer; it is as PayPal's callers report it: a 404, or a 400, whose
// message alone says why.
func notRefreshed() reply {
	return reply{http.StatusNotFound, problemJSON{Name: "INVALID_REQUEST", Message: "Data for the given start date is not available."}}
}

func (s *server) searchLinks(v url.Values, page, pages int) []link {
	at := func(n int, rel string) link {
		v.Set("page", strconv.Itoa(n))
		return link{s.base + searchPath + "?" + v.Encode(), rel, http.MethodGet}
	}
	links := []link{at(page, "self")}
	if page < pages {
		links = append(links, at(page+1, "next"), at(pages, "last"))
	}
	if page > 1 {
		links = append(links, at(1, "first"), at(page-1, "prev"))
	}
	return links
}
