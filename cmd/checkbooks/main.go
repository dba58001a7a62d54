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
	"strconv"
	"strings"
	"time"
)

func main() {
	api := flag.String("api", "http://127.0.0.1:8080", "base URL of Trifecta")
	key := flag.String("key", os.Getenv("TRIFECTA_KEY"), "API key of the app whose payments are checked (or TRIFECTA_KEY)")
	stripe := flag.String("stripe", "http://127.0.0.1:12110", "base URL of the Stripe sandbox")
	paypal := flag.String("paypal", "http://127.0.0.1:12120", "base URL of the PayPal sandbox")
	open := flag.Bool("allow-open", false, "payments may still be processing")
	plain := flag.Bool("plain", false, "nobody was charged twice or wrongly, and nobody was given money back more than once: so no payment may be held")
	answered := flag.String("answered", "", "file with a line \"ID AMOUNT\" for each payment that was acknowledged to an app: each must be there, with that amount")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	b := books{api: *api, key: *key, sandboxes: []string{*stripe, *paypal}, allowOpen: *open, plain: *plain}
	var err error
	if *answered != "" {
		b.answered, err = readAnswered(*answered)
	}
	n, differences := 0, []string(nil)
	if err == nil {
		n, differences, err = b.check(ctx)
	}
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

// books says where both books are, and what is known of them besides.
type books struct {
	api, key         string
	sandboxes        []string
	allowOpen, plain bool
	answered         map[string]int64 // amounts of the payments that were acknowledged, by id
}

// sums are what a ledger says of one payment.
type sums struct {
	of    map[string]int64 // by kind of movement
	count map[string]int
	in    map[string]bool // the currencies of its captures
}

// check reads both books and lists what differs.
func (b books) check(ctx context.Context) (int, []string, error) {
	payments, err := allPayments(ctx, b.api, b.key)
	if err != nil {
		return 0, nil, err
	}
	ledger := map[string]*sums{}
	for _, sandbox := range b.sandboxes {
		var page struct{ Data []movement }
		if err := read(ctx, sandbox+"/_sandbox/ledger", "", &page); err != nil {
			return 0, nil, err
		}
		for _, m := range page.Data {
			s := ledger[m.Reference]
			if s == nil {
				s = &sums{map[string]int64{}, map[string]int{}, map[string]bool{}}
				ledger[m.Reference] = s
			}
			s.of[m.Kind] += m.Amount
			s.count[m.Kind]++
			if m.Kind == "capture" {
				s.in[m.Currency] = true
			}
		}
	}
	var out []string
	known := map[string]pay{}
	for _, p := range payments {
		if _, twice := known[p.ID]; twice {
			out = append(out, p.ID+": is listed twice")
		}
		known[p.ID] = p
		s := ledger[p.ID]
		if s == nil {
			s = &sums{}
		}
		out = append(out, b.differences(p, s)...)
	}
	for reference, s := range ledger {
		if _, ok := known[reference]; !ok {
			out = append(out, fmt.Sprintf("the provider moved money for %q, which we do not know: %v", reference, s.of))
		}
	}
	for id, amount := range b.answered {
		if p, ok := known[id]; !ok {
			out = append(out, id+": was acknowledged and is gone")
		} else if p.Amount != amount {
			out = append(out, fmt.Sprintf("%s: was acknowledged for %d, is of %d", id, amount, p.Amount))
		}
	}
	sort.Strings(out)
	return len(payments), out, nil
}

// differences compares what we say of one payment with what the providers say.
func (b books) differences(p pay, s *sums) (out []string) {
	say := func(format string, args ...any) { out = append(out, p.ID+": "+fmt.Sprintf(format, args...)) }
	captured, refunded := s.of["capture"], s.of["refund"]-s.of["refund_failed"]
	taken := s.of["dispute"] - s.of["dispute_won"] + s.of["reversal"]
	for _, c := range []struct {
		what         string
		ours, theirs int64
	}{{"captured", p.Amounts.Captured.Amount, captured}, {"refunded", p.Amounts.Refunded.Amount, refunded}, {"disputed", p.Amounts.Disputed.Amount, taken}} {
		if c.ours != c.theirs {
			say("we say %s %d, the provider %d", c.what, c.ours, c.theirs)
		}
	}
	if captured > 0 && (len(s.in) != 1 || !s.in[p.Amounts.Captured.Currency]) && p.Status != "conflicted" {
		say("we say captured in %s, the provider took %v", p.Amounts.Captured.Currency, s.in)
	}
	known := !b.allowOpen || b.plain && len(p.Amounts.Fee) > 0 // others may be on their way
	if net := captured - refunded - taken - s.of["fee"]; known && (total(p.Amounts.Fee) != s.of["fee"] || total(p.Amounts.Net) != net) {
		say("we say fee %v net %v, the provider %d and %d", p.Amounts.Fee, p.Amounts.Net, s.of["fee"], net)
	}
	if s.count["capture"] > 1 && (b.plain || p.Status != "conflicted") {
		say("charged %d times and not held", s.count["capture"])
	}
	if b.plain && (p.Status == "conflicted" || captured > 0 && captured != p.Amount || s.count["refund"] > 1) {
		say("%s, took %d of %d, %d refunds", p.Status, captured, p.Amount, s.count["refund"])
	}
	if (p.Status == "succeeded") != (captured > 0) && p.Status != "conflicted" && p.Status != "authorized" {
		say("is %s, the provider captured %d", p.Status, captured)
	}
	if p.Status == "processing" && !b.allowOpen {
		say("is still processing")
	}
	if p.Amounts.RefundPending.Amount != 0 && !b.allowOpen {
		say("has a refund on its way")
	}
	return out
}

// readAnswered reads what was acknowledged.
func readAnswered(name string) (map[string]int64, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read what was answered: %w", err)
	}
	out := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		id, amount, _ := strings.Cut(strings.TrimSpace(line), " ")
		if out[id], err = strconv.ParseInt(amount, 10, 64); err != nil || id == "" {
			return nil, fmt.Errorf("read what was answered: %q", line)
		}
	}
	return out, nil
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
