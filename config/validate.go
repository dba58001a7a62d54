package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	// MinWebhookSecret is the least length of a webhook secret, in bytes. The
	// Stripe library verifies happily with an empty one, so that anyone could
	// sign events.
	MinWebhookSecret = 24
	// maxBrandName is PayPal's limit (PayPal OpenAPI orders v2: brand_name).
	maxBrandName = 127
)

var namePattern = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// Validate checks a Config that was made by hand, as Load does for one from a
// file. The error is an *Error with every fault.
func (c Config) Validate() error {
	fs := faults{list: validate(c)}
	return fs.err("")
}

func validate(c Config) []Fault {
	v := validator{cfg: c, live: c.liveAccount()}
	v.publicURL()
	v.store()
	v.listeners()
	v.testClock()
	v.encryption()
	v.retention()
	if len([]rune(c.BrandName)) > maxBrandName || strings.ContainsFunc(c.BrandName, unicode.IsControl) {
		v.add("brand_name", "is longer than 127 characters or has control characters", "Shorten it")
	}
	if len(c.Accounts) == 0 {
		v.add("accounts", "there is no account", "Add at least one Stripe or PayPal account")
	}
	seen := map[string]bool{}
	for i, a := range c.Accounts {
		at := fmt.Sprintf("accounts[%d].", i)
		v.nameAndMode(at, "account", a.Name, a.Mode, seen)
		v.account(at, a)
	}
	seen = map[string]bool{}
	for i, a := range c.Apps {
		at := fmt.Sprintf("apps[%d].", i)
		v.nameAndMode(at, "app", a.Name, a.Mode, seen)
		v.origins(at, a)
		v.disputes(at, a.Disputes)
	}
	v.alerts()
	v.risk()
	return v.list
}

// validator is one run over one Config. live is the name of a live account, ""
// if there is none.
type validator struct {
	faults
	cfg  Config
	live string
}

func (v *validator) publicURL() {
	const path = "public_url"
	if v.cfg.PublicURL == "" {
		v.add(path, "is missing", "Set the https origin under which customers and providers reach this server")
		return
	}
	u, problem := parseBase(v.cfg.PublicURL)
	switch {
	case problem != "":
		v.add(path, problem, "Write it like https://pay.example.com")
	case u.Path != "":
		v.add(path, "must not have a path", "Serve Trifecta under a host name of its own, like https://pay.example.com")
	case u.Scheme == "http" && v.cfg.Live():
		v.add(path, "is http with a live account or app", "Use https: customers' tokens travel in it")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		v.add(path, "is http and not on this machine", "Use https; http is for 127.0.0.1 and localhost in test mode")
	}
}

func (v *validator) store() {
	switch scheme, address := v.cfg.StoreURL(); {
	case scheme == "":
		v.add("store", "is neither sqlite: nor mongodb://", "Write sqlite:./trifecta.db or mongodb://host1,host2/trifecta?replicaSet=rs0")
	case scheme == "sqlite" && address.IsZero():
		v.add("store", "names no file", "Write it like sqlite:./trifecta.db")
	case scheme == "sqlite" && v.live != "" && !v.cfg.AllowSQLiteLive:
		v.add("store", fmt.Sprintf("is SQLite, and account %q is live", v.live),
			"Use MongoDB, or set allow_sqlite_live: true if one process on one disk is enough and you back it up")
	case scheme == "mongodb":
		_, rest, _ := strings.Cut(address.Reveal(), "://")
		if hosts := rest[strings.LastIndexByte(rest, '@')+1:]; hosts == "" || hosts[0] == '/' || hosts[0] == '?' {
			v.add("store", "names no host", "Write it like mongodb://host1,host2/trifecta?replicaSet=rs0")
		}
	}
}

func (v *validator) listeners() {
	bad := false
	for _, l := range []struct{ path, addr string }{
		{"http.addr", v.cfg.HTTP.Addr},
		{"http.internal_addr", v.cfg.HTTP.InternalAddr},
	} {
		if problem := checkHostPort(l.addr, true); problem != "" {
			v.add(l.path, problem, `Write host:port like "127.0.0.1:8081" or ":8080"`)
			bad = true
		}
	}
	if !bad && v.cfg.HTTP.Addr == v.cfg.HTTP.InternalAddr && !strings.HasSuffix(v.cfg.HTTP.Addr, ":0") {
		v.add("http.internal_addr", "is the same as http.addr", "Keep metrics and profiles on an address of their own")
	}
}

func (v *validator) testClock() {
	const path = "test_clock"
	if v.cfg.TestClock == "" {
		return
	}
	if v.cfg.Live() {
		v.add(path, "is set beside a live account or app", "Remove it: a clock that somebody can move must never decide about money")
		return
	}
	v.testBase(path, v.cfg.TestClock)
}

// testBase checks a base URL in test mode: https, or http on this machine.
func (v *validator) testBase(path, base string) {
	u, problem := parseBase(base)
	switch {
	case problem != "":
		v.add(path, problem, "Write it like http://127.0.0.1:12110")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		v.add(path, "is http and not on this machine", "Use https; http is for 127.0.0.1 and localhost")
	}
}

func (v *validator) nameAndMode(at, kind, name, mode string, seen map[string]bool) {
	switch {
	case name == "":
		v.add(at+"name", "is missing", "Give every %s a short name of a-z, 0-9 and -", kind)
	case !namePattern.MatchString(name):
		v.add(at+"name", "is not 1 to 40 of a-z, 0-9 and -", "It stands in URLs and on records: keep it plain, and never change it")
	case seen[name]:
		v.add(at+"name", fmt.Sprintf("%q is the name of another %s", name, kind), "Give each %s a name of its own", kind)
	}
	seen[name] = true
	if mode != ModeTest && mode != ModeLive {
		v.add(at+"mode", "is neither test nor live", "Say which: there is no default, so that nothing goes live by omission")
	}
}

func (v *validator) account(at string, a Account) {
	v.apiBase(at+"api_base", a)
	switch a.Provider {
	case ProviderStripe:
		v.stripe(at, a)
	case ProviderPayPal:
		v.paypal(at, a)
	case "sandbox":
		v.add(at+"provider", "the sandbox is not a provider", "Write stripe or paypal, and point api_base at the sandbox in test mode")
	default:
		v.add(at+"provider", "is neither stripe nor paypal", "Write one of them")
	}
}

func (v *validator) stripe(at string, a Account) {
	v.stripeKey(at+"secret_key", a)
	if v.cfg.Layers.Webhook && len(a.WebhookSecrets) == 0 {
		v.add(at+"webhook_secrets", "is missing", "Run trifecta webhooks register --config FILE and copy the signing secret that it prints, or set layers.webhook: false")
	}
	v.webhookSecrets(at+"webhook_secrets", a.WebhookSecrets)
	v.webhookSecrets(at+"connect_webhook_secrets", a.ConnectWebhookSecrets)
	const fix = "Remove it, or set provider: paypal"
	if !a.ClientSecret.IsZero() {
		v.add(at+"client_secret", "belongs to PayPal", fix)
	}
	if len(a.WebhookIDs) > 0 {
		v.add(at+"webhook_ids", "belongs to PayPal", fix)
	}
	if a.WebhookRootCA != "" {
		v.add(at+"webhook_root_ca", "belongs to PayPal", fix)
	}
	if len(a.WebhookCertHosts) > 0 {
		v.add(at+"webhook_cert_hosts", "belongs to PayPal", fix)
	}
}

// stripeKey checks the key against the mode (Stripe docs, API keys: the prefix
// is sk_ or rk_, then test_ or live_).
func (v *validator) stripeKey(path string, a Account) {
	key := a.SecretKey.Reveal()
	isTest := strings.HasPrefix(key, "sk_test_") || strings.HasPrefix(key, "rk_test_")
	isLive := strings.HasPrefix(key, "sk_live_") || strings.HasPrefix(key, "rk_live_")
	switch {
	case key == "":
		v.add(path, "is missing or empty", "Set it or secret_key_file; the Stripe dashboard has it under Developers, API keys")
	case strings.ContainsFunc(key, badInSecret):
		v.add(path, "has white space or control characters", "Copy it again without them")
	case strings.HasPrefix(key, "pk_"):
		v.add(path, "is a publishable key", "Use the secret key (sk_…) or a restricted one (rk_…)")
	case a.Mode == ModeTest && isLive:
		v.add(path, "is a live key in a test account: tests would move real money", "Use the sk_test_ or rk_test_ key, or set mode: live")
	case a.Mode == ModeLive && isTest:
		v.add(path, "is a test key in a live account: nobody would be charged", "Use the sk_live_ or rk_live_ key, or set mode: test")
	case !isTest && !isLive:
		v.add(path, "is not a Stripe secret key", "It starts with sk_test_, rk_test_, sk_live_ or rk_live_")
	case len(key) == len("sk_test_"):
		v.add(path, "is only the prefix of a key", "Copy the whole key")
	}
}

func (v *validator) paypal(at string, a Account) {
	if a.ClientID == "" {
		v.add(at+"client_id", "is missing", "The PayPal developer dashboard has it under Apps & Credentials")
	} else if strings.ContainsFunc(a.ClientID, badInSecret) {
		v.add(at+"client_id", "has white space or control characters", "Copy it again without them")
	}
	if a.ClientSecret.IsZero() {
		v.add(at+"client_secret", "is missing or empty", "Set it or client_secret_file; it stands beside the client id")
	} else if strings.ContainsFunc(a.ClientSecret.Reveal(), badInSecret) {
		v.add(at+"client_secret", "has white space or control characters", "Copy it again without them")
	}
	if v.cfg.Layers.Webhook && len(a.WebhookIDs) == 0 {
		v.add(at+"webhook_ids", "is missing", "Run trifecta webhooks register --config FILE and copy the id that it prints (PayPal signs it too), or set layers.webhook: false")
	}
	for i, id := range a.WebhookIDs {
		if id == "" || strings.ContainsFunc(id, badInSecret) {
			v.add(fmt.Sprintf("%swebhook_ids[%d]", at, i), "is empty or has white space", "Copy it again")
		}
	}
	const fix = "Remove it, or set provider: stripe"
	if !a.SecretKey.IsZero() {
		v.add(at+"secret_key", "belongs to Stripe", fix)
	}
	if len(a.WebhookSecrets) > 0 {
		v.add(at+"webhook_secrets", "belongs to Stripe", fix)
	}
	if len(a.ConnectWebhookSecrets) > 0 {
		v.add(at+"connect_webhook_secrets", "belongs to Stripe", fix)
	}
	v.sandboxTrust(at, a)
}

// sandboxTrust checks the two keys that let somebody else than PayPal sign.
func (v *validator) sandboxTrust(at string, a Account) {
	const fix = "Remove it: whoever it trusts could report payments that never happened"
	problem := fmt.Sprintf("is set, and account %q is live", v.live)
	if a.WebhookRootCA != "" && v.live != "" {
		v.add(at+"webhook_root_ca", problem, fix)
	}
	if len(a.WebhookCertHosts) > 0 && v.live != "" {
		v.add(at+"webhook_cert_hosts", problem, fix)
		return
	}
	for i, host := range a.WebhookCertHosts {
		path := fmt.Sprintf("%swebhook_cert_hosts[%d]", at, i)
		if problem := checkHostPort(host, false); problem != "" {
			v.add(path, problem, "Write host or host:port, without https://")
		}
	}
}

func (v *validator) webhookSecrets(path string, secrets []Secret) {
	for i, s := range secrets {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch plain := s.Reveal(); {
		case plain == "":
			v.add(at, "is empty", "With an empty secret anyone can sign a webhook: copy the endpoint's signing secret")
		case strings.ContainsFunc(plain, badInSecret):
			v.add(at, "has white space or control characters", "Copy it again without them")
		case len(plain) < MinWebhookSecret:
			v.add(at, fmt.Sprintf("is shorter than %d characters", MinWebhookSecret), "Copy the endpoint's whole signing secret (whsec_…)")
		case slices.ContainsFunc([]string{"we_", "sk_", "rk_", "pk_"}, func(other string) bool { return strings.HasPrefix(plain, other) }):
			v.add(at, "is an endpoint's id or an API key, and no signing secret", "Copy the endpoint's signing secret (whsec_…): we_… is its id, sk_… an API key")
		}
		for _, earlier := range secrets[:i] {
			if !s.IsZero() && s.Equal(earlier) {
				v.add(at, "is listed twice", "List each secret once: the old one and the new one while rotating")
			}
		}
	}
}

// apiBase keeps a live account at the real provider and a test account away
// from it.
func (v *validator) apiBase(path string, a Account) {
	if a.APIBase == "" {
		return
	}
	u, problem := parseBase(a.APIBase)
	if a.Mode != ModeLive {
		v.testBase(path, a.APIBase)
		switch {
		case u == nil:
		case a.Provider == ProviderPayPal && strings.EqualFold(u.Hostname(), "api-m.paypal.com"):
			v.add(path, "is PayPal's live API in a test account: tests would move real money", "Remove it, or set mode: live")
		case v.live != "" && loopback(u.Hostname()):
			v.add(path, fmt.Sprintf("is a sandbox on this machine, and account %q is live", v.live),
				"Run the sandbox beside a configuration of its own, never in production")
		}
		return
	}
	const fix = "Remove it, so that the provider's own address is used, or set mode: test"
	switch {
	case problem != "":
		v.add(path, problem, fix)
	case loopback(u.Hostname()) || strings.Contains(strings.ToLower(u.Host), "sandbox"):
		v.add(path, "is a sandbox in a live account: nobody would be charged", fix)
	case u.Scheme != "https":
		v.add(path, "is not https in a live account", fix)
	}
}

// origins checks that each entry is an exact origin, because return URLs are
// compared with it whole (RFC 6454): no path, user, wildcard or pattern.
func (v *validator) origins(at string, a App) {
	for i, o := range a.ReturnOrigins {
		path := fmt.Sprintf("%sreturn_origins[%d]", at, i)
		u, problem := parseBase(o)
		host := ""
		if u != nil {
			host = u.Hostname()
		}
		switch {
		case strings.Contains(o, "*"):
			v.add(path, "has a wildcard", "List each origin: a wildcard lets a forgotten host collect customers")
		case problem != "":
			v.add(path, problem, "Write it like https://shop.example.com")
		case u.Path != "":
			v.add(path, "has a path", "An origin is scheme, host and port only, like https://shop.example.com")
		case u.Scheme == "http" && (a.Mode != ModeTest || host != "127.0.0.1" && host != "localhost"):
			v.add(path, "is http", "Use https; http is for 127.0.0.1 and localhost in test mode")
		case o != strings.ToLower(o) || strings.ContainsFunc(o, func(r rune) bool { return r > unicode.MaxASCII }):
			v.add(path, "is not as browsers write it", "Write the host in lower case, and in its xn-- form if it has letters beyond ASCII")
		case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80":
			v.add(path, "names the default port", "Leave the port out, as browsers do")
		}
	}
}

// parseBase parses an absolute http or https URL without user, query and
// fragment. Without a problem the URL is not nil.
func parseBase(s string) (u *url.URL, problem string) {
	u, err := url.Parse(s)
	switch {
	case err != nil, strings.ContainsFunc(s, badInSecret), strings.ContainsRune(s, '\\'):
		return nil, "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https", u.Opaque != "", u.Hostname() == "":
		return nil, "is not an absolute http or https URL"
	case u.User != nil:
		return nil, "has a user name in it"
	case strings.ContainsAny(s, "?#"):
		return nil, "must not have a query or fragment"
	}
	if problem := checkHostPort(u.Host, false); problem != "" {
		return nil, problem
	}
	return u, ""
}

// checkHostPort checks host:port. A listener may leave out the host, an address
// to call may leave out the port.
func checkHostPort(s string, listener bool) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if listener || s == "" || strings.ContainsAny(s, ":/ ") && !isBracketedIP(s) {
			return "is not a host and port"
		}
		return ""
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil, !listener && n == 0:
		return "has a port that is not a number from 1 to 65535"
	case !listener && host == "", strings.ContainsAny(host, "/ "):
		return "is not a host and port"
	}
	return ""
}

func isBracketedIP(s string) bool {
	return strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") && net.ParseIP(s[1:len(s)-1]) != nil
}

// loopback says whether a host name means this machine.
func loopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}

func badInSecret(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
