package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/httpapi"
)

// counted is a body that counts what is read of it.
type counted struct {
	io.Reader
	read int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	return n, err
}

// J1 and J3: Promise: a body that is too large, of a million keys or of one string of
// 10 MB, is answered 413 by every route that reads one, having read at most a byte more
// than its limit, and none of it where its length is declared; one that is too deep is 400.
func TestJ3LargeBodiesAreNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wide strings.Builder
	for i := range 1_000_000 {
		_, _ = wide.WriteString(`"k` + strconv.Itoa(i) + `":0,`) // a builder never fails
	}
	const deep = 10_000
	shapes := map[string]string{"a million keys": "{" + wide.String() + `"last":0}`, "one string": `{"reference":"` + strings.Repeat("x", 10<<20) + `"}`}
	all := w.keyOf(read, write, refund, dispute)
	asked := 0
	for _, route := range httpapi.RoutesOf(w.handler) {
		method, path, _ := strings.Cut(route, " ")
		if method != http.MethodPost && method != http.MethodPut || strings.HasPrefix(path, "/webhooks/") { // which has its own
			continue
		}
		asked++
		key, kind, limit := all, "application/json", int64(256<<10)
		if needs[route] == operator {
			key = opKey
		}
		switch route {
		case "POST /v1/disputes/:id/evidence":
			limit = 5 << 20
		case "POST /pay/:id":
			kind = "application/x-www-form-urlencoded"
		}
		send := func(raw string, declared int64) (int, int64) {
			body := &counted{Reader: strings.NewReader(raw)}
			req := httptest.NewRequestWithContext(t.Context(), method, strings.Replace(path, ":id", "x", 1), body)
			req.ContentLength = declared
			req.Header = http.Header{"Authorization": {"Bearer " + key}, "Content-Type": {kind}, "Idempotency-Key": {"k"}}
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, req)
			return rec.Code, body.read
		}
		for name, raw := range shapes {
			if code, n := send(raw, -1); code != http.StatusRequestEntityTooLarge || n > limit+1 {
				t.Errorf("%s, %s: %d after %d bytes, want 413 after %d at most", route, name, code, n, limit+1)
			}
			if code, n := send(raw, int64(len(raw))); code != http.StatusRequestEntityTooLarge || n > 0 {
				t.Errorf("%s, %s, declared: %d after %d bytes, want 413 after none", route, name, code, n)
			}
		}
	}
	if asked < 20 {
		t.Errorf("only %d routes were asked", asked)
	}
	for _, raw := range []string{strings.Repeat("[", deep) + strings.Repeat("]", deep), strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep)} {
		w.do(call{method: "POST", path: "/v1/payments", key: shopKey, idem: "k", body: raw, bad: true}).want(http.StatusBadRequest, "malformed")
	}
}
