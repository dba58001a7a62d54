package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
)

func bare() Options {
	return Options{
		Service: &gateway.Service{}, Clock: func() time.Time { return time.Unix(0, 0) }, NewID: func() string { return "req_1" },
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// Promise: the document describes exactly the routes that are served.
func TestDocumentDescribesEveryRoute(t *testing.T) {
	t.Parallel()
	doc, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	var described, served []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	for _, r := range newEngine(bare()).Routes() {
		var parts []string
		for part := range strings.SplitSeq(r.Path, "/") {
			if name, ok := strings.CutPrefix(part, ":"); ok {
				part = "{" + name + "}"
			}
			parts = append(parts, part)
		}
		path := strings.Join(parts, "/")
		if path == "/docs" || strings.HasPrefix(path, "/openapi.") {
			continue // about the document itself
		}
		served = append(served, r.Method+" "+path)
	}
	slices.Sort(described)
	slices.Sort(served)
	if diff := cmp.Diff(described, served); diff != "" {
		t.Errorf("document (-) and routes (+) differ:\n%s", diff)
	}
}

// Promise: every code of the domain has its row, and document and table agree.
func TestEveryCodeHasItsProblem(t *testing.T) {
	t.Parallel()
	doc, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	var table []any
	for _, k := range problemKinds {
		table = append(table, string(k.Code))
	}
	if diff := cmp.Diff(doc.Components.Schemas["ProblemCode"].Value.Enum, table); diff != "" {
		t.Errorf("document (-) and table (+) differ:\n%s", diff)
	}
	source, err := os.ReadFile(filepath.Join("..", "payment", "errors.go"))
	if err != nil {
		t.Fatal(err)
	}
	n := strings.Count(string(source), " Code = \"")
	if n == 0 || n != len(problemKinds)-1 { // method_not_allowed is ours
		t.Errorf("payment has %d codes, the table %d", n, len(problemKinds)-1)
	}
}

// Promise: enumerations of the document are the program's own lists.
func TestDocumentEnumerations(t *testing.T) {
	t.Parallel()
	doc, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	statuses := map[string]bool{}
	for _, v := range doc.Components.Schemas["PaymentStatus"].Value.Enum {
		statuses[fmt.Sprint(v)] = true
	}
	for _, row := range payment.StatusTable() {
		if !statuses[string(row.Status)] {
			t.Errorf("the document lacks the status %s", row.Status)
		}
		delete(statuses, string(row.Status))
	}
	if len(statuses) != 0 {
		t.Errorf("the document has statuses that do not exist: %v", statuses)
	}
	var reasons []string
	for _, v := range doc.Components.Schemas["RefundReason"].Value.Enum {
		reasons = append(reasons, fmt.Sprint(v))
	}
	if !slices.Equal(reasons, refundReasons) {
		t.Errorf("refund reasons: %v", reasons)
	}
}

// Promise: an error that is not ours is internal: logged with its cause, told
// without a word of it; a panic likewise, and the process lives on.
func TestInternalErrorsStayInside(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	opts := bare()
	opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	e := newEngine(opts)
	a := &api{opts: opts, log: opts.Logger}
	e.GET("/error", a.do(func(*ginContext) error { return fmt.Errorf("wrapped: %w", os.ErrPermission) }))
	e.GET("/leak", a.do(func(*ginContext) error {
		return &payment.Error{Code: payment.CodeInternal, Message: "dsn mongodb://u:p@h", Fields: []payment.FieldError{{Pointer: "/x", Rule: "dsn"}}}
	}))
	e.GET("/panic", func(*ginContext) { panic("database password") })
	for _, path := range []string{"/error", "/leak", "/panic"} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusInternalServerError || p.Code != payment.CodeInternal || p.RequestID != "req_1" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if body := w.Body.String(); strings.Contains(body, "permission") || strings.Contains(body, "dsn") || strings.Contains(body, "password") {
			t.Errorf("%s leaks: %s", path, body)
		}
	}
	for _, cause := range []string{"permission", "dsn", "panic in a handler", "panic=string", "internal_test.go"} {
		if !strings.Contains(log.String(), cause) {
			t.Errorf("the log lacks %q", cause)
		}
	}
	if strings.Contains(log.String(), "database password") {
		t.Error("the log repeats what a panic said")
	}
}

// Promise: the limiter forgets the longest silent key first and never grows
// beyond its size.
func TestLimiterIsBounded(t *testing.T) {
	t.Parallel()
	l := newLimiter(1, 2, 3)
	now := time.Unix(1000, 0)
	for i := range 100 {
		l.allow(fmt.Sprint("key", i), now)
	}
	if len(l.keys) != 3 || l.order.Len() != 3 {
		t.Fatalf("%d keys, %d in order", len(l.keys), l.order.Len())
	}
	l.allow("key99", now)
	if ok, left, _ := l.allow("key99", now); ok || left != 0 {
		t.Errorf("a third request of two: %v, %d left", ok, left)
	}
	if ok, _, reset := l.allow("key99", now.Add(time.Second)); !ok || reset != 2 {
		t.Errorf("a second later: %v, reset %d", ok, reset)
	}
}

// Promise: an attempt's state is what became of it, money first.
func TestAttemptStates(t *testing.T) {
	t.Parallel()
	key := payment.ObjectKey{Provider: "p", Account: "a", ID: "x"}
	usd := payment.Money{Minor: 5, Currency: "usd"}
	fact := func(s payment.AttemptState, total int64) payment.Facts {
		return payment.Facts{Attempts: []payment.AttemptFact{{Key: key, N: 1, State: s, Total: payment.Money{Minor: total, Currency: "usd"}}}}
	}
	with := func(f payment.Facts, fn func(*payment.Facts)) payment.Facts {
		fn(&f)
		return f
	}
	captured := func(s payment.CaptureState) func(*payment.Facts) {
		return func(f *payment.Facts) {
			f.Captures = []payment.Capture{{Key: key, N: 1, Amount: usd, State: s}}
		}
	}
	held := func(s payment.AuthState) func(*payment.Facts) {
		return func(f *payment.Facts) {
			f.Authorizations = []payment.Authorization{{Key: key, N: 1, Amount: usd, Capturable: 5, State: s}}
		}
	}
	decided := func(kind payment.DecisionKind) func(*payment.Facts) {
		return func(f *payment.Facts) { f.Decisions = []payment.Decision{{ID: "d", Kind: kind, N: 1}} }
	}
	for name, c := range map[string]struct {
		facts payment.Facts
		want  string
	}{
		"creation unknown":       {payment.Facts{}, "processing"},
		"open":                   {fact(payment.AttemptOpen, 5), "open"},
		"approved":               {fact(payment.AttemptApproved, 5), "processing"},
		"processing":             {fact(payment.AttemptProcessing, 5), "processing"},
		"held":                   {with(fact(payment.AttemptAuthorized, 5), held(payment.AuthActive)), "authorized"},
		"held, order complete":   {with(fact(payment.AttemptComplete, 5), held(payment.AuthActive)), "authorized"},
		"partly captured":        {with(with(fact(payment.AttemptAuthorized, 5), held(payment.AuthActive)), captured(payment.CaptureCompleted)), "authorized"},
		"voided":                 {with(fact(payment.AttemptComplete, 5), held(payment.AuthVoided)), "expired"},
		"complete":               {with(fact(payment.AttemptComplete, 5), captured(payment.CaptureCompleted)), "captured"},
		"complete, money coming": {with(fact(payment.AttemptComplete, 5), captured(payment.CapturePending)), "processing"},
		"complete, declined":     {with(fact(payment.AttemptComplete, 5), captured(payment.CaptureDeclined)), "failed"},
		"complete, unseen":       {fact(payment.AttemptComplete, 5), "processing"},
		"complete for nothing":   {fact(payment.AttemptComplete, 0), "captured"},
		"expired":                {fact(payment.AttemptExpired, 5), "expired"},
		"canceled":               {fact(payment.AttemptCanceled, 5), "expired"},
		"failed":                 {fact(payment.AttemptFailed, 5), "failed"},
		"refused":                {with(payment.Facts{}, decided(payment.DecisionRefused)), "failed"},
		"abandoned":              {with(fact(payment.AttemptExpired, 5), decided(payment.DecisionAbandoned)), "abandoned"},
		"abandoned, paid late":   {with(with(fact(payment.AttemptComplete, 5), captured(payment.CaptureCompleted)), decided(payment.DecisionAbandoned)), "captured"},
	} {
		if got := attemptState(&payment.Payment{Facts: c.facts}, 1); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Promise: an event's checkout is where gateway.Service itself would send the
// customer at the moment of the change.
func TestCheckoutURLEqualsService(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	usd := payment.Money{Minor: 5, Currency: "usd"}
	key := payment.ObjectKey{Provider: "p", Account: "a", ID: "x"}
	open := payment.AttemptFact{Key: key, N: 1, State: payment.AttemptOpen, Total: usd, URL: "https://p.test/x", ExpiresAt: now.Add(time.Hour)}
	approved, lapsed := open, open
	approved.State = payment.AttemptApproved
	lapsed.ExpiresAt = now
	declines := []payment.Decision{}
	for i := range 9 {
		declines = append(declines, payment.Decision{ID: fmt.Sprint("d", i), Kind: payment.DecisionDeclined, N: 1, At: now})
	}
	facts := func(attempt ...payment.AttemptFact) payment.Facts {
		return payment.Facts{Terms: payment.Terms{Amount: usd}, Opened: []payment.Attempt{{N: 1, Provider: "p", Account: "a"}}, Attempts: attempt}
	}
	exhausted := facts(approved)
	exhausted.Decisions = declines
	s, err := gateway.New(serviceOptions(func() time.Time { return now }))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for name, p := range map[string]payment.Payment{
		"nothing opened": {Facts: payment.Facts{Terms: payment.Terms{Amount: usd}}}, "open": {Facts: facts(open)}, "unknown": {Facts: facts()}, "approved": {Facts: facts(approved)},
		"lapsed": {Facts: facts(lapsed)}, "exhausted": {Facts: exhausted},
		"closing": {Facts: facts(open), Operations: []payment.Operation{{Kind: payment.OpClose, N: 1, State: payment.OpPending}}},
	} {
		p.ID, p.Token, p.UpdatedAt = "pay_x", "a token", now
		want := s.Checkout(&p)
		if got := checkoutURL("https://pay.test", &p); got != want {
			t.Errorf("%s: %q, the service says %q", name, got, want)
		}
		seen[want] = true
	}
	if len(seen) != 3 { // none, the provider's page, our page
		t.Errorf("the cases tell too little: %v", seen)
	}
}

func serviceOptions(now func() time.Time) gateway.Options {
	registry, _ := providers.NewRegistry()
	engine, _ := mem.New(store.Collections())
	return gateway.Options{
		Payments: store.NewPayments(engine), Keys: store.NewKeys(engine), Notify: store.NewAlerts(engine), Providers: registry, Clock: now,
		Token: func() string { return "x" }, PublicURL: "https://pay.test", Render: NewRenderer("https://pay.test"), Logger: bare().Logger,
	}
}

// Promise: amounts have their currency's decimals and the language's spelling.
func TestFormatAmount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		minor      int64
		currency   payment.Currency
		lang, want string
	}{
		{1999, "usd", "en", "$19.99|USD"},
		{1999, "usd", "de", "19,99\u00a0$|USD"},
		{500, "jpy", "en", "¥500|JPY"},
		{1234, "kwd", "en", "KWD\u00a01.234|"},
		{1, "eur", "fr", "0,01\u00a0€|EUR"},
		{100000, "chf", "it", "1.000,00\u00a0CHF|"},
		{999999999999, "usd", "en", "$9,999,999,999.99|USD"},
		{123456, "krw", "ko", "₩123,456|KRW"},
	} {
		got := formatAmount(payment.Money{Minor: c.minor, Currency: c.currency}, c.lang)
		if got.Text+"|"+got.Code != c.want {
			t.Errorf("%d %s in %s: %q", c.minor, c.currency, c.lang, got)
		}
	}
}

// Promise: every language has every text, with the same blanks as English.
func TestLanguagesAreComplete(t *testing.T) {
	t.Parallel()
	english := reflect.ValueOf(languages["en"])
	for lang, words := range languages {
		v := reflect.ValueOf(words)
		for i := range v.NumField() {
			text, name := v.Field(i).String(), v.Type().Field(i).Name
			if text == "" || strings.Count(text, "%s") != strings.Count(english.Field(i).String(), "%s") || strings.Count(text, "%") != strings.Count(text, "%s") {
				t.Errorf("%s: %s is %q", lang, name, text)
			}
		}
	}
}

// Promise: the policy's hash is that of the style as it stands in the pages.
func TestStyleHash(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/pay/x", "/docs"} {
		w := httptest.NewRecorder()
		newEngine(bare()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		_, rest, _ := strings.Cut(w.Body.String(), "<style>")
		style, _, found := strings.Cut(rest, "</style>")
		sum := sha256.Sum256([]byte(style))
		want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		if !found || !strings.Contains(w.Header().Get("Content-Security-Policy"), want) {
			t.Errorf("%s: policy %s, style hashes to %s", path, w.Header().Get("Content-Security-Policy"), want)
		}
	}
}

// Promise: the document is served in both forms, and as a page that names every
// path, schema and code, with every link leading somewhere.
func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	e := newEngine(bare())
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d", path, w.Code)
		}
		return w
	}
	var asJSON struct{ OpenAPI string }
	if err := json.Unmarshal(get("/openapi.json").Body.Bytes(), &asJSON); err != nil || asJSON.OpenAPI != "3.1.0" {
		t.Errorf("openapi.json: %v %v", asJSON, err)
	}
	if got := get("/openapi.yaml").Body.String(); got != string(openapiYAML) {
		t.Error("openapi.yaml is another one")
	}
	page := get("/docs").Body.String()
	doc, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for path := range doc.Paths.Map() {
		names = append(names, "<code>"+path+"</code>")
	}
	for name := range doc.Components.Schemas {
		names = append(names, `id="schema-`+name+`"`)
	}
	for _, k := range problemKinds {
		names = append(names, `id="`+string(k.Code)+`"`)
	}
	for _, name := range names {
		if !strings.Contains(page, name) {
			t.Errorf("the page lacks %s", name)
		}
	}
	for _, part := range strings.Split(page, `href="#`)[1:] {
		target, _, _ := strings.Cut(part, `"`)
		if !strings.Contains(page, `id="`+target+`"`) {
			t.Errorf("a link leads to #%s, which is not there", target)
		}
	}
}

// Promise: a missing requirement is found at start, not at the first request.
func TestNewNeedsItsOptions(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("New took empty Options")
		}
	}()
	New(Options{})
}

// Guards the bodies about fraud: what is not known is refused by name, and what is
// left out has the default that the document says.
func TestRiskBodies(t *testing.T) {
	t.Parallel()
	b, err := bindBlock([]byte(`{"customer":"eve","reason":"x"}`))
	if err != nil || !b.Cancel || b.Refund || !b.ExpiresAt.IsZero() {
		t.Errorf("%+v, %v", b, err)
	}
	d, err := bindDryRun(nil)
	if err != nil || d.Days != 30 || d.input().Rules != nil {
		t.Errorf("%+v, %v", d, err)
	}
	for body, at := range map[string]string{
		`{"customer":"eve","reason":"x","forever":true}`:   "/forever",
		`{"customer":"eve","reason":"x","expires_at":"5"}`: "/expires_at",
		`{"customer":7,"reason":"x"}`:                      "/customer",
	} {
		if _, err := bindBlock([]byte(body)); pointerOf(err) != at {
			t.Errorf("%s: %v, want %s", body, err, at)
		}
	}
	for body, at := range map[string]string{
		`{"days":181}`:                                       "/days",
		`{"rules":[{"rule":"magic"}]}`:                       "/rules/0/rule",
		`{"rules":[{"rule":"review","x":1}]}`:                "/rules/0/x",
		`{"rules":[{"rule":"decline_velocity","window":1}]}`: "/rules/0/window",
	} {
		if _, err := bindDryRun([]byte(body)); pointerOf(err) != at {
			t.Errorf("%s: %v, want %s", body, err, at)
		}
	}
	if _, err := bindJudge([]byte(`{"reason":"a\u0000b"}`)); pointerOf(err) != "/reason" {
		t.Errorf("control characters in a reason: %v", err)
	}
}

func pointerOf(err error) string {
	var e *payment.Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return ""
	}
	return e.Fields[0].Pointer
}

// Promise: paging goes through every row once and comes to an end, for pages of any size, also
// where rows share a key.
func TestPagesOfRowsThatShareAKey(t *testing.T) {
	t.Parallel()
	rows := []string{"a1", "b1", "b2", "b3", "c1", "b4", "a2"}
	key := func(r string) string { return r[:1] }
	for limit := 1; limit <= len(rows)+1; limit++ {
		var got []string
		after := ""
		for range rows {
			page, err := pageOf(rows, key, limit, after)
			if err != nil || len(page.Data) > limit {
				t.Fatalf("limit %d after %q: %v, %v", limit, after, page, err)
			}
			got = append(got, page.Data...)
			if page.Next == nil {
				break
			}
			after = *page.Next
		}
		if !slices.Equal(got, rows) {
			t.Errorf("limit %d: %v", limit, got)
		}
	}
	for _, after := range []string{"d", "a~2", "a~0", "~1"} {
		if _, err := pageOf(rows, key, 2, after); err == nil {
			t.Errorf("cursor %q passes", after)
		}
	}
}
