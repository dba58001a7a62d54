// Command checkbooks compares two books through their public interfaces only:
// what a running Trifecta says of its payments, and what the sandbox says money
// did. It shares no code with either, so that it can't share a bug with what it
// checks. It prints every difference and exits 1 if there is one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sort"
	"time"
)

func main() {
	api := flag.String("api", "http://127.0.0.1:8080", "base URL of Trifecta")
	key := flag.String("key", os.Getenv("TRIFECTA_KEY"), "API key of the app whose payments are checked (or TRIFECTA_KEY)")
	stripe := flag.String("stripe", "http://127.0.0.1:12110", "base URL of the Stripe sandbox")
	paypal := flag.String("paypal", "http://127.0.0.1:12120", "base URL of the PayPal sandbox")
	open := flag.Bool("allow-open", false, "payments may still be processing")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	n, differences, err := check(ctx, *api, *key, []string{*stripe, *paypal}, *open)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "checkbooks:", err)
		os.Exit(2)
	}
	for _, d := range differences {
		fmt.Println(d)
	}
	fmt.Printf("%d payments checked, %d differences\n", n, len(differences))
	if len(differences) > 0 {
		os.Exit(1)
	}
}

type money struct {
	Amount   int64
	Currency string
}

type pay struct {
	ID, Status, Currency string
	Amount               int64
	Amounts              struct {
		Captured, Refunded, Disputed money
		RefundPending                money `json:"refund_pending"`
		Fee, Net                     []money
	}
}

// total adds up amounts. The sandbox's programs settle everything in the currency it was
// paid in.
func total(list []money) (n int64) {
	for _, m := range list {
		n += m.Amount
	}
	return n
}

type movement struct {
	Object, Kind, Currency, Reference string
	Amount                            int64
}

// check reads both books and lists what differs.
func check(ctx context.Context, api, key string, sandboxes []string, allowOpen bool) (int, []string, error) {
	payments, err := allPayments(ctx, api, key)
	if err != nil {
		return 0, nil, err
	}
	var book []movement
	for _, sandbox := range sandboxes {
		var page struct{ Data []movement }
		if err := read(ctx, sandbox+"/_sandbox/ledger", "", &page); err != nil {
			return 0, nil, err
		}
		book = append(book, page.Data...)
	}
	sums := map[string]map[string]int64{}
	count := map[string]int{}
	for _, m := range book {
		if sums[m.Reference] == nil {
			sums[m.Reference] = map[string]int64{}
		}
		sums[m.Reference][m.Kind] += m.Amount
		if m.Kind == "capture" {
			count[m.Reference]++
		}
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	known := map[string]bool{}
	for _, p := range payments {
		known[p.ID] = true
		s := sums[p.ID]
		captured, refunded := s["capture"], s["refund"]-s["refund_failed"]
		if p.Amounts.Captured.Amount != captured {
			say("%s: we say captured %d, the provider %d", p.ID, p.Amounts.Captured.Amount, captured)
		}
		if p.Amounts.Refunded.Amount != refunded {
			say("%s: we say refunded %d, the provider %d", p.ID, p.Amounts.Refunded.Amount, refunded)
		}
		if net := captured - refunded - (s["dispute"] - s["dispute_won"]) - s["reversal"] - s["fee"]; !allowOpen && (total(p.Amounts.Fee) != s["fee"] || total(p.Amounts.Net) != net) {
			say("%s: we say fee %v net %v, the provider %d and %d", p.ID, p.Amounts.Fee, p.Amounts.Net, s["fee"], net)
		}
		if count[p.ID] > 1 && p.Status != "conflicted" {
			say("%s: charged %d times and not held", p.ID, count[p.ID])
		}
		if (p.Status == "succeeded") != (captured > 0) && p.Status != "conflicted" && p.Status != "authorized" {
			say("%s: is %s, the provider captured %d", p.ID, p.Status, captured)
		}
		if p.Status == "processing" && !allowOpen {
			say("%s: is still processing", p.ID)
		}
		if p.Amounts.RefundPending.Amount != 0 && !allowOpen {
			say("%s: has a refund on its way", p.ID)
		}
	}
	for reference, s := range sums {
		if !known[reference] {
			say("the provider moved money for %q, which we do not know: %v", reference, s)
		}
	}
	sort.Strings(out)
	return len(payments), out, nil
}

// allPayments walks the list to its end.
func allPayments(ctx context.Context, api, key string) ([]pay, error) {
	var out []pay
	after := ""
	for range 10_000 {
		var page struct {
			Data []pay
			Next *string
		}
		address := api + "/v1/payments?limit=100"
		if after != "" {
			address += "&after=" + url.QueryEscape(after)
		}
		if err := read(ctx, address, key, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Data...)
		if page.Next == nil || *page.Next == "" {
			return out, nil
		}
		after = *page.Next
	}
	return nil, errors.New("the list of payments has no end")
}

func read(ctx context.Context, address, key string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	client := &http.Client{Timeout: 20 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d: %.200s", address, resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}
