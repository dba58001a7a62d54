package gateway

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// CheckReturnURL accepts an absolute URL whose exact origin is on the app's
// list. In test mode http://127.0.0.1 and http://localhost are accepted with
// any port. Everything that browsers and URL parsers read differently is
// refused. The error is a rule for the caller.
func CheckReturnURL(raw string, app App) error {
	if len(raw) > 2048 {
		return errors.New("must have at most 2048 characters")
	}
	for _, r := range raw {
		if r <= ' ' || r == '\\' || r >= 0x7f {
			return errors.New("must be plain ASCII without spaces, control characters or backslashes")
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Opaque != "" || (u.Scheme != "https" && u.Scheme != "http") ||
		!strings.HasPrefix(raw, u.Scheme+"://"+u.Host) {
		return errors.New("must be an absolute https URL")
	}
	if u.User != nil {
		return errors.New("must not contain a user name or password")
	}
	if u.Fragment != "" || strings.Contains(raw, "#") {
		return errors.New("must not contain a fragment")
	}
	if u.Scheme == "https" && slices.Contains(app.ReturnOrigins, "https://"+u.Host) ||
		u.Scheme == "http" && app.Mode == payment.ModeTest && loopback(u.Host) {
		return nil
	}
	return errors.New("must have an origin on this app's return_origins list")
}

// loopback says whether a host, with or without a port, is this machine, in the
// one spelling that everybody reads alike.
func loopback(host string) bool {
	name, port, hasPort := strings.Cut(host, ":")
	if name != "127.0.0.1" && name != "localhost" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return !hasPort || err == nil && n > 0 && port[0] != '0'
}
