package judge

import (
	"encoding/json"
	"net/http"
	"slices"
)

// Ask makes one call of the public API with the key of an app, or the operator's
// where app is "", and returns the answer.
type Ask func(app, method, path string) (status int, body []byte)

// The parts of answers that are judged.
type (
	// Money is an amount in minor units.
	Money struct {
		Amount   int64
		Currency string
	}
	// Payment is what GET /v1/payments says of one.
	Payment struct {
		ID, Status, App string
		Amount          int64
		Version         int64
		Amounts         struct {
			Captured, Refunded, Disputed Money
			Fee, Net                     []Money
		}
		Refunds  []Refund
		Disputes []Dispute
	}
	// Refund is one of a payment's.
	Refund struct {
		ID, Status  string
		Amount      int64
		ProviderRef string `json:"provider_ref"`
	}
	// Dispute is one of a payment's.
	Dispute struct {
		ID          string
		Amount      int64
		ProviderRef string `json:"provider_ref"`
	}
	// Entry is one line of a payment's history.
	Entry struct {
		Actor         struct{ Type string }
		Layer         string
		Before, After struct{ Status string }
		Version       int64
	}
	// Event is one of an app's feed.
	Event struct {
		ID, Type string
		Sequence int64
		Data     struct {
			Object struct{ ID, Object, Payment, Status string }
		}
	}
	alert struct{ Kind, Payment string }
)

// reader reads everything there is.
type reader struct {
	j   *Judge
	ask Ask
}

type page[T any] struct {
	Data []T
	Next string
}

func get[T any](r reader, app, method, path string) (out T) {
	status, body := r.ask(app, method, path)
	if status != http.StatusOK {
		r.j.fail("%s %s was answered %d: %.200s", method, path, status, body)
		return out
	}
	if err := json.Unmarshal(body, &out); err != nil {
		r.j.fail("%s %s can't be read: %v", method, path, err)
	}
	return out
}

// pages reads a list to its end. Where a cursor comes with the last page too, the
// end is a page without rows.
func pages[T any](r reader, app, path string) (all []T) {
	for after, n := "", 0; n < 1000; n++ {
		p := get[page[T]](r, app, http.MethodGet, path+"?limit=100"+after)
		all = append(all, p.Data...)
		if p.Next == "" || len(p.Data) == 0 {
			break
		}
		after = "&after=" + p.Next
	}
	return all
}

func (r reader) payments(app string) []Payment { return pages[Payment](r, app, "/v1/payments") }

func (r reader) history(app, id string) []Entry {
	entries := pages[Entry](r, app, "/v1/payments/"+id+"/history")
	slices.Reverse(entries) // the API tells the newest first
	return entries
}

func (r reader) sync(app, id string) Payment {
	return get[Payment](r, app, http.MethodPost, "/v1/payments/"+id+"/sync")
}

// alerts are the kinds of alert by payment.
func (r reader) alerts() map[string][]string {
	out := map[string][]string{}
	for _, a := range pages[alert](r, "", "/v1/alerts") {
		out[a.Payment] = append(out[a.Payment], a.Kind)
	}
	return out
}

// feed: I9, no gap, no repetition; the events by payment.
func (r reader) feed(app string) map[string][]Event {
	told, ids := map[string][]Event{}, map[string]bool{}
	for i, e := range pages[Event](r, app, "/v1/events") {
		if e.Sequence != int64(i+1) || ids[e.ID] {
			r.j.fail("I9 event %s of %s stands at %d, expected %d; twice %v", e.ID, app, e.Sequence, i+1, ids[e.ID])
		}
		ids[e.ID] = true
		id := e.Data.Object.Payment
		if e.Data.Object.Object == "payment" {
			id = e.Data.Object.ID
		}
		told[id] = append(told[id], e)
	}
	return told
}
