// Package shop is the demo's product app: a small web shop that takes payments
// with nothing but Trifecta's public HTTP API, as any app would. It knows no
// provider; it may import nothing of ours.
package shop

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed pages/*.html
var pages embed.FS

// Options are what the shop needs.
type Options struct {
	API     string // base URL of Trifecta
	Key     string // the shop's API key
	BaseURL string // of the shop itself
	Clock   func() time.Time
	NewID   func() string
	Logger  *slog.Logger
	// Dispute plays a customer who disputes a capture, by the provider's own id of
	// it; nil: nobody does. Inbox is where the alert about it can be read.
	Dispute func(ctx context.Context, provider, capture string) error
	Inbox   string
}

// order is what the shop remembers: what was bought, and which payment it is
// paid with. Whether it is paid, it asks.
type order struct {
	ID, Product string
	PaymentID   string
	At          time.Time
}

// Shop is the shop: an http.Handler, and a follower of the feed.
type Shop struct {
	http.Handler
	opts   Options
	client *http.Client
	pages  *template.Template
	mu     sync.Mutex
	orders []order
	told   map[string]string // payment -> status, as the feed last said
	cursor string            // how far the feed was read
}

// product is something to buy. Amount is in minor units.
type product struct {
	ID, Name, Text string
	Amount         int64
	Currency       string
	Manual         bool // charged when it ships
}

func products() []product {
	return []product{
		{ID: "mug", Name: "Enamel mug", Text: "Holds coffee and grudges.", Amount: 1999, Currency: "usd"},
		{ID: "stickers", Name: "Sticker sheet", Text: "Priced in yen: no decimals anywhere.", Amount: 500, Currency: "jpy"},
		{ID: "table", Name: "Oak table", Text: "We charge it when it ships: authorise now, capture later.", Amount: 64900, Currency: "eur", Manual: true},
	}
}

// New makes the shop.
func New(o Options) (*Shop, error) {
	t, err := template.New("").Funcs(template.FuncMap{"money": money}).ParseFS(pages, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("shop: pages: %w", err)
	}
	s := &Shop{opts: o, pages: t, told: map[string]string{}, client: &http.Client{Timeout: 30 * time.Second}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.catalogue)
	mux.HandleFunc("POST /buy", s.buy)
	mux.HandleFunc("GET /orders", s.list)
	mux.HandleFunc("GET /orders/{id}", s.show)
	mux.HandleFunc("POST /orders/{id}/{action}", s.act)
	s.Handler = mux
	return s, nil
}

func money(amount int64, currency string) string {
	if currency == "jpy" {
		return fmt.Sprintf("¥%d", amount)
	}
	return fmt.Sprintf("%d.%02d %s", amount/100, amount%100, strings.ToUpper(currency))
}

// apiError is what Trifecta says when it refuses.
type apiError struct {
	Status int
	Title  string `json:"title"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (e *apiError) Error() string {
	if e.Detail != "" {
		return e.Detail
	}
	return fmt.Sprintf("%s (%d %s)", e.Title, e.Status, e.Code)
}

// call makes one API call. key is the Idempotency-Key of a POST: made once for
// each thing the customer wants, so that a repetition can't charge twice.
func (s *Shop) call(ctx context.Context, method, path, key string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("shop: encode request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.opts.API+path, body) //nolint:gosec // our own service's address and paths made here
	if err != nil {
		return fmt.Errorf("shop: request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+s.opts.Key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := s.client.Do(req) //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("the payment service can't be reached: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("the payment service's answer was cut off: %w", err)
	}
	if resp.StatusCode >= 300 {
		e := &apiError{Status: resp.StatusCode}
		if err := json.Unmarshal(answer, e); err != nil {
			return fmt.Errorf("the payment service answered %d", resp.StatusCode)
		}
		return e
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the payment service's answer can't be read: %w", err)
	}
	return nil
}

func (s *Shop) find(id string) (order, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.orders, func(o order) bool { return o.ID == id })
	if i < 0 {
		return order{}, false
	}
	return s.orders[i], true
}

func (s *Shop) remember(o order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.orders, func(old order) bool { return old.ID == o.ID }); i >= 0 {
		s.orders[i] = o
		return
	}
	const most = 1000
	s.orders = append(s.orders, o)
	if len(s.orders) > most {
		s.orders = s.orders[1:]
	}
}

// render writes a page. The shop's pages are never cached: they show money.
func (s *Shop) render(w http.ResponseWriter, r *http.Request, code int, page string, data any) {
	var b bytes.Buffer
	if err := s.pages.ExecuteTemplate(&b, page, data); err != nil {
		s.opts.Logger.ErrorContext(r.Context(), "shop page failed", "page", page, "error", err)
		http.Error(w, "This page could not be shown.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // the customer is gone: nobody to tell
}

func (s *Shop) fail(w http.ResponseWriter, r *http.Request, code int, message string) {
	s.render(w, r, code, "message.html", map[string]any{"Message": message})
}
