package stripe

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// crowd answers the list of sessions of a shop that opens one every 200 milliseconds, in
// pages of 100, newest first. It counts the pages and stops nowhere before created[gte].
func crowd(t *testing.T, opened time.Time, ours string) (a *Adapter, pages *int) {
	t.Helper()
	pages = new(int)
	a = against(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/v1/checkout/sessions" {
			fmt.Fprintf(w, `{"id":"cs_ours","object":"checkout.session","created":%d,"status":"open","payment_status":"unpaid","currency":"usd","amount_total":1999,"url":"https://c/1"}`, opened.Unix())
			return
		}
		*pages++
		from, _ := strconv.ParseInt(q.Get("created[gte]"), 10, 64)
		newest, _ := strconv.ParseInt(q.Get("created[lte]"), 10, 64)
		if after := q.Get("starting_after"); after != "" {
			last, _ := strconv.ParseInt(strings.TrimPrefix(after, "cs_at_"), 10, 64)
			newest = last - 1
		}
		var rows []string
		oldest := max(from, newest-19) // five sessions a second
		for at := newest; at >= oldest; at-- {
			if at == opened.Unix()+2 && ours != "" {
				rows = append(rows, ours)
			}
			for range 5 {
				rows = append(rows, fmt.Sprintf(`{"id":"cs_at_%d","object":"checkout.session","created":%d,"status":"open"}`, at, at))
			}
		}
		fmt.Fprintf(w, `{"object":"list","url":"/v1/checkout/sessions","has_more":%v,"data":[%s]}`, oldest > from, strings.Join(rows, ","))
	})
	return a, pages
}

// TestFindEndsInACrowd: a checkout whose creation left no answer must not hold its payment
// up for good because a shop opens so many that all of them can't be read. What is not
// found soon is given up: its address never left us.
func TestFindEndsInACrowd(t *testing.T) {
	t.Parallel()
	req := checkoutRequest()
	a, pages := crowd(t, startWall, "")
	if _, found, err := a.FindCheckout(t.Context(), req, startWall); found || err != nil || *pages > findPages {
		t.Errorf("found %v, %v after %d pages", found, err, *pages)
	}
}

// TestFindBeginsWhereItIsLikely: a session made by the first try is found at once although
// a day's worth of others were made since.
func TestFindBeginsWhereItIsLikely(t *testing.T) {
	t.Parallel()
	req := checkoutRequest()
	ours := fmt.Sprintf(`{"id":"cs_ours","object":"checkout.session","created":%d,"status":"open","client_reference_id":%q,
 "metadata":{"trifecta_payment":%q,"trifecta_attempt":%q}}`, startWall.Unix()+2, req.PaymentID, req.PaymentID, req.AttemptID())
	a, pages := crowd(t, startWall, ours)
	res, found, err := a.FindCheckout(t.Context(), req, startWall)
	if !found || err != nil || res.Ref != "cs_ours" || *pages > 2 {
		t.Errorf("%+v, found %v, %v after %d pages", res, found, err, *pages)
	}
}
