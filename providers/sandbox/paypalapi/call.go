package paypalapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxBody is the largest API request body that is read, documents of evidence included.
const maxBody = 16 << 20

// call is one authenticated API request, with the world's lock held.
type call struct {
	s      *server
	r      *http.Request
	op     string
	body   []byte
	client string // client id of the REST app
	now    time.Time
}

// reply is an answer that is still to be written.
type reply struct {
	status int
	body   any // JSON; nil for none
}

func (c *call) id() string        { return c.r.PathValue("id") }
func (c *call) requestID() string { return c.r.Header.Get("PayPal-Request-Id") }

// full says whether the caller asked for the whole object instead of the minimal
// answer (PayPal OpenAPI: Prefer, default return=minimal).
func (c *call) full() bool {
	return strings.Contains(c.r.Header.Get("Prefer"), "return=representation")
}

// decode reads the JSON body into v. An absent body leaves v as it is.
func (c *call) decode(v any) *reply {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, v); err != nil {
		r := c.fail("MALFORMED_REQUEST_JSON", fault{location: "body"})
		return &r
	}
	return nil
}

// handle wraps an operation: time first (what is due happens before the call), then
// the token, then an asked-for failure, then the operation. The answer is written
// after the lock is released.
func (s *server) handle(op string, fn func(*call) reply) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
		if err != nil {
			s.write(rw, reply{http.StatusRequestEntityTooLarge, problemJSON{
				Name: "REQUEST_ENTITY_TOO_LARGE", Message: "The request is larger than the server is able to process.",
			}})
			return
		}
		s.w.RunDue()
		s.write(rw, s.locked(rw, r, op, body, fn))
	}
}

func (s *server) locked(rw http.ResponseWriter, r *http.Request, op string, body []byte, fn func(*call) reply) reply {
	s.w.Lock()
	defer s.w.Unlock()
	c := &call{s: s, r: r, op: op, body: body, now: s.w.Now()}
	// Callers use Date as the time of what they read: it must not be later.
	rw.Header().Set("Date", c.now.Format(http.TimeFormat))
	client, ok := s.clientOf(r, c.now)
	if !ok {
		return reply{http.StatusUnauthorized, problemJSON{
			Name:    "AUTHENTICATION_FAILURE",
			Message: "Authentication failed due to missing authorization header, or invalid authentication credentials.",
		}}
	}
	c.client = client
	if mock, ok := c.mocked(); ok {
		return mock
	}
	if len(c.requestID()) > 108 { // PayPal OpenAPI orders v2: PayPal-Request-Id maxLength
		return c.fail("INVALID_STRING_LENGTH", fault{field: "PayPal-Request-Id"})
	}
	return fn(c)
}

// mocked answers what PayPal-Mock-Response asks for, if this operation knows that
// issue; otherwise the real operation runs (PayPal docs: negative testing).
func (c *call) mocked() (reply, bool) {
	raw := c.r.Header.Get("PayPal-Mock-Response")
	if raw == "" {
		return reply{}, false
	}
	var in struct {
		Codes string `json:"mock_application_codes"`
	}
	if err := json.Unmarshal([]byte(raw), &in); err != nil {
		return reply{}, false
	}
	switch in.Codes {
	case "INTERNAL_SERVER_ERROR", "INTERNAL_SERVICE_ERROR":
		return reply{http.StatusInternalServerError, problemJSON{Name: "INTERNAL_SERVER_ERROR", Message: "An internal server error occurred."}}, true
	case "INSTRUMENT_DECLINED":
		if o := c.s.orders[c.id()]; o != nil {
			return c.instrumentDeclined(o), true
		}
	}
	if _, ok := c.s.issues[c.op][in.Codes]; !ok {
		return reply{}, false
	}
	return c.fail(in.Codes, fault{}), true
}

func (s *server) unknownPath(c *call) reply { return c.notFound() }

// write sends an answer. Every answer carries Paypal-Debug-Id; error bodies repeat it.
func (s *server) write(rw http.ResponseWriter, a reply) {
	debug := s.w.Hex(13)
	rw.Header().Set("Paypal-Debug-Id", debug)
	if p, ok := a.body.(problemJSON); ok {
		p.DebugID = debug
		a.body = p
	}
	if a.body == nil {
		rw.WriteHeader(a.status)
		return
	}
	b, err := encode(a.body)
	if err != nil {
		http.Error(rw, `{"name":"INTERNAL_SERVER_ERROR"}`, http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(a.status)
	_, _ = rw.Write(b) // a caller that hung up can't be told
}

// encode writes JSON without turning &, < and > into \u escapes: PayPal does not, and
// whoever re-encodes an event before verifying it must be found out.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("paypalapi: encode: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// stamp writes a time the way Orders and Payments do: whole seconds, UTC.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// stampMS writes a time the way disputes and events do: milliseconds, UTC.
func stampMS(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
