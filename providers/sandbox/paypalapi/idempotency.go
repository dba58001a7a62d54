package paypalapi

import "time"

// How long PayPal remembers a PayPal-Request-Id (OpenAPI orders v2: 6 hours; payments
// v2: 45 days).
const (
	keepOrders   = 6 * time.Hour
	keepPayments = 45 * 24 * time.Hour
)

// stored is what was done under one PayPal-Request-Id.
type stored struct {
	until  time.Time
	object string // id of what the request made
	fail   *reply // a definitive decline, repeated as it was
}

// The same request id means another request for another operation or object.
func (c *call) storeKey() string {
	return c.op + "\x00" + c.id() + "\x00" + c.requestID()
}

// earlier finds what this request id already did, if it is still remembered.
func (c *call) earlier() (stored, bool) {
	if c.requestID() == "" {
		return stored{}, false
	}
	st, ok := c.s.requests[c.storeKey()]
	if !ok || !c.now.Before(st.until) {
		return stored{}, false
	}
	return st, true
}

// remember stores what this request did. Requests refused before anything was tried
// are not stored: they may be corrected and repeated under the same id.
func (c *call) remember(object string, fail *reply, keep time.Duration) {
	if c.requestID() != "" {
		c.s.requests[c.storeKey()] = stored{until: c.now.Add(keep), object: object, fail: fail}
	}
}
