package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Keys of what middleware hands on in a gin.Context.
const (
	ginCaller = "caller"
	ginToken  = "token"
	ginBody   = "body"
	ginObject = "object" // the id of what a request made, for its line in the log
)

// requestID gives every request an id of ours; a client's own is not believed.
func (a *api) requestID(c *gin.Context) {
	id := a.opts.NewID()
	c.Header("Trifecta-Request-Id", id)
	c.Request = c.Request.WithContext(gateway.WithRequestID(c.Request.Context(), id))
	c.Next()
}

// accessLog writes one line a request. It names the route, never the path or
// the query: they carry customers' tokens, and whatever a caller mistakes for
// one.
func (a *api) accessLog(c *gin.Context) {
	start := a.opts.Clock()
	c.Next()
	route := c.FullPath()
	if route == "" {
		route = "unmatched"
	}
	args := []any{
		"request_id", gateway.RequestID(c.Request.Context()), "method", logMethod(c.Request.Method), "route", route,
		"status", c.Writer.Status(), "bytes", c.Writer.Size(), "took_ms", a.opts.Clock().Sub(start).Milliseconds(),
	}
	if caller, ok := c.Get(ginCaller); ok {
		if who, ok := caller.(gateway.Caller); ok {
			args = append(args, "key", who.KeyID, "app", who.App)
		}
	}
	if id := c.Param("id"); objectID(id) {
		args = append(args, "object", id)
	} else if made := c.GetString(ginObject); made != "" {
		args = append(args, "object", made)
	}
	if status := c.Writer.Status(); strings.HasPrefix(route, "/webhooks/") && status != http.StatusNotFound && status < http.StatusInternalServerError {
		args = append(args, "account", c.Param("account")) // it was found, so it is a configured one
	}
	a.log.InfoContext(c.Request.Context(), "request", args...)
}

// logMethod keeps invented methods out of the log.
func logMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "other"
}

// recovery answers a panic as an internal error; the process lives on.
func (a *api) recovery(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v) // net/http's own way to drop a connection
		}
		ctx := c.Request.Context()
		a.log.ErrorContext(ctx, "panic in a handler", "request_id", gateway.RequestID(ctx), "route", c.FullPath(), "panic", payment.PanicText(v), "stack", string(debug.Stack()))
		if !c.Writer.Written() {
			a.render(c, payment.NewError(payment.CodeInternal, ""))
		}
		c.Abort()
	}()
	c.Next()
}

// headers are on every answer, pages and problems alike.
func (a *api) headers(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	if a.secure() {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	c.Next()
}

func (a *api) methodNotAllowed(c *gin.Context) error {
	return payment.NewError(codeMethodNotAllowed, "This path takes %s.", c.Writer.Header().Get("Allow"))
}

// authenticate says who calls. The key is taken from the Authorization header
// and from nowhere else: one in a query string ends up in logs on its way.
func (a *api) authenticate(c *gin.Context) {
	token, ok := bearer(c.Request.Header)
	if !ok {
		a.fail(c, payment.NewError(payment.CodeUnauthenticated, "Send a valid API key as Authorization: Bearer tk_…."))
		return
	}
	caller, err := a.svc.Authenticate(c.Request.Context(), token)
	if err != nil {
		a.fail(c, a.refusedKey(c, err))
		return
	}
	c.Set(ginCaller, caller)
	c.Set(ginToken, token)
	c.Next()
}

// refusedKey counts a wrong key against the address that sent it, and answers 429
// once there were too many. A right key is never kept waiting: behind a proxy all
// callers have one address, so that whoever locks it would lock everybody out. What
// guards keys is their length; this tells operators, and a client that goes wrong.
func (a *api) refusedKey(c *gin.Context, err error) error {
	if asProblem(err).Code != payment.CodeUnauthenticated {
		return err
	}
	from := addressOf(c.Request.RemoteAddr)
	ok, left, _ := a.wrong.allow(from, a.opts.Clock())
	if ok && left == 0 { // at most once for each that comes back
		a.log.WarnContext(c.Request.Context(), "many wrong keys from one address", "request_id", gateway.RequestID(c.Request.Context()), "address", from)
	}
	if !ok {
		return payment.NewError(payment.CodeRateLimited, "Too many wrong keys from this address. Wait, then send a valid one.")
	}
	return err
}

// addressOf is what wrong keys are counted under: the address of the connection, as
// headers say what their sender likes. Of IPv6 it is the /64, which one host has whole.
func addressOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "unknown"
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}

func bearer(h http.Header) (string, bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, found := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	return token, found && strings.EqualFold(scheme, "Bearer") && token != ""
}

func callerOf(c *gin.Context) gateway.Caller {
	caller, _ := c.MustGet(ginCaller).(gateway.Caller)
	return caller
}

// rateLimit spends one of the key's requests.
func (a *api) rateLimit(c *gin.Context) {
	ok, left, reset := a.limiter.allow(c.GetString(ginToken), a.opts.Clock())
	c.Header("RateLimit-Limit", strconv.Itoa(a.opts.Burst))
	c.Header("RateLimit-Remaining", strconv.Itoa(left))
	c.Header("RateLimit-Reset", strconv.Itoa(reset))
	if !ok {
		a.fail(c, payment.NewError(payment.CodeRateLimited, "Too many requests with this key. Wait, then go on."))
		return
	}
	c.Next()
}

// scope lets only keys through that carry it.
func (a *api) scope(scope string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := callerOf(c).Allow(scope); err != nil {
			a.fail(c, err)
			return
		}
		c.Next()
	}
}

// operator lets only operator keys through.
func (a *api) operator(c *gin.Context) {
	if !callerOf(c).Operator {
		a.fail(c, payment.NewError(payment.CodeForbidden, "This needs an operator key."))
		return
	}
	c.Next()
}

// unasked refuses query parameters where none mean anything: a filter that is passed over
// in silence gives all keys to whoever asked for one app's, to revoke them.
func (a *api) unasked(c *gin.Context) {
	if err := noQuery(c.Request.URL.RawQuery); err != nil {
		a.fail(c, err)
		return
	}
	c.Next()
}

// post checks what every POST under /v1 must bring, and reads its body.
func (a *api) post(c *gin.Context) { a.postUpTo(maxBody)(c) }

// postUpTo is post for a route with a limit of its own, in bytes.
func (a *api) postUpTo(limit int64) gin.HandlerFunc {
	return func(c *gin.Context) { a.readPost(c, limit) }
}

func (a *api) readPost(c *gin.Context, limit int64) {
	key := c.GetHeader("Idempotency-Key")
	if len(c.Request.Header.Values("Idempotency-Key")) > 1 { // which of them counts is read differently on the way here
		key = ""
	}
	if err := gateway.CheckKey(key); err != nil {
		a.fail(c, err)
		return
	}
	a.readInto(c, limit)
}

// put reads the body of a request that needs no Idempotency-Key: it names the
// version that it replaces.
func (a *api) put(c *gin.Context) { a.readInto(c, maxBody) }

// readInto also refuses query parameters: they mean nothing beside a body, and an amount
// that was put there by mistake would leave a refund or capture of everything.
func (a *api) readInto(c *gin.Context, limit int64) {
	if err := noQuery(c.Request.URL.RawQuery); err != nil {
		a.fail(c, err)
		return
	}
	body, err := readBody(c, "application/json", limit)
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Set(ginBody, body)
	c.Next()
}

// readBody reads at most limit bytes of the one media type accepted.
func readBody(c *gin.Context, want string, limit int64) ([]byte, error) {
	r := c.Request
	if enc := r.Header.Values("Content-Encoding"); len(enc) > 0 && !strings.EqualFold(strings.Join(enc, ","), "identity") {
		return nil, payment.NewError(payment.CodeUnsupportedMedia, "Send the body without a Content-Encoding.")
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge(limit)
	case err != nil:
		e := payment.NewError(payment.CodeMalformed, "The body could not be read to its end.")
		e.Cause = err
		return nil, e
	case len(body) > 0 && !mediaType(r.Header, want):
		return nil, payment.NewError(payment.CodeUnsupportedMedia, "Send the body as %s.", want)
	}
	return body, nil
}

// mediaType says whether a body's declared type is the one wanted, in UTF-8.
// None declared passes: the body is then read as what is wanted, or refused.
func mediaType(h http.Header, want string) bool {
	declared := h.Values("Content-Type")
	if len(declared) == 0 {
		return true
	}
	got, params, err := mime.ParseMediaType(declared[0])
	if err != nil || len(declared) > 1 || got != want {
		return false
	}
	charset, has := params["charset"]
	return !has || strings.EqualFold(charset, "utf-8")
}

func tooLarge(limit int64) error {
	return payment.NewError(payment.CodeTooLarge, "The body is larger than %d bytes.", limit)
}

// request is what identifies this POST for idempotency. path has its ids filled
// in, and is ours, whatever spelling the client used.
func (a *api) request(c *gin.Context, path string, body any) (gateway.Request, error) {
	fingerprint, err := gateway.Fingerprint(body)
	if err != nil {
		return gateway.Request{}, err
	}
	return gateway.Request{Caller: callerOf(c), Path: path, Key: c.GetHeader("Idempotency-Key"), Fingerprint: fingerprint}, nil
}

// idParam is the object id in the path. What can't be one of ours is not found,
// without asking the store.
func idParam(c *gin.Context, prefix string) (string, error) {
	id := c.Param("id")
	if !strings.HasPrefix(id, prefix+"_") || !objectID(id) {
		return "", notFoundError()
	}
	return id, nil
}

// objectID says whether a text has the shape of our ids: a short word, an
// underscore, 26 base32 characters.
func objectID(s string) bool {
	prefix, rest, ok := strings.Cut(s, "_")
	if !ok || len(prefix) != 3 || len(rest) != 26 {
		return false
	}
	for _, r := range prefix {
		if r < 'a' || r > 'z' {
			return false
		}
	}
	for _, r := range rest {
		if (r < 'a' || r > 'z') && (r < '2' || r > '7') {
			return false
		}
	}
	return true
}
