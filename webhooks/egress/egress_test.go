package egress_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/webhooks/egress"
)

// resolver answers from a list.
type resolver struct {
	names map[string][]string
	asked int
}

func (r *resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	r.asked++
	var out []netip.Addr
	for _, ip := range r.names[host] {
		out = append(out, netip.MustParseAddr(ip))
	}
	if len(out) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

func client(t *testing.T, o egress.Options) *egress.Client {
	t.Helper()
	c, err := egress.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Guards G1: no special address is called, in any of its spellings, whether it is written in the URL or is what a name
// resolves to.
func TestG1SpecialAddresses(t *testing.T) {
	t.Parallel()
	for _, ip := range []string{
		"127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3",
		"192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8", "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1",
		"64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2001::1", "2001:1ff::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "3fff:fff::1", "5f00::1", "100::1",
		"4000::1", "e000::1",
	} {
		host := ip
		if strings.Contains(ip, ":") {
			host = "[" + ip + "]"
		}
		if ip == "::ffff:8.8.8.8" { // is 8.8.8.8, which is public
			if !egress.Public(netip.MustParseAddr(ip)) {
				t.Errorf("%s is refused", ip)
			}
			continue
		}
		c := client(t, egress.Options{Resolver: &resolver{names: map[string][]string{"hooks.example.com": {ip}}}})
		for _, address := range []string{"https://" + host + "/x", "https://hooks.example.com/x"} {
			_, err := c.Post(t.Context(), address, nil, nil)
			if !errors.Is(err, egress.ErrAddress) {
				t.Errorf("%s as %s: %v", ip, address, err)
			}
		}
	}
	for _, ip := range []string{"8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "2001:4860::1"} {
		if !egress.Public(netip.MustParseAddr(ip)) {
			t.Errorf("%s is refused", ip)
		}
	}
	if egress.Public(netip.Addr{}) || egress.Public(netip.MustParseAddr("2606:4700::1%eth0")) {
		t.Error("no address, or one with a zone, counts as public")
	}
}

// Guards G2, G6, G7, G8 and the port rule: what is refused by its spelling, before any name is looked up.
func TestAddressesRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ row, address string }{
		{"G2 decimal", "https://2130706433/"},
		{"G2 octal", "https://0177.0.0.1/"},
		{"G2 hex", "https://0x7f000001/"},
		{"G2 hex parts", "https://127.0.0.0x1/"},
		{"G2 short", "https://127.1/"},
		{"G2 short with a dot", "https://127.1./"},
		{"G2 padded", "https://127.000.000.001/"},
		{"G2 encoded", "https://%31%32%37.0.0.1/"},
		{"G2 zone", "https://[fe80::1%25lo]/"},
		{"G6 own host", "https://pay.example.com/internal"},
		{"G6 own host in capitals", "https://PAY.example.com./internal"},
		{"G6 this machine", "https://localhost/"},
		{"G6 below localhost", "https://x.localhost/"},
		{"G6 name without a dot", "https://metadata/"},
		{"G7 gopher", "gopher://hooks.example.com/"},
		{"G7 file", "file:///etc/passwd"},
		{"G7 ftp", "ftp://hooks.example.com/"},
		{"G7 ws", "wss://hooks.example.com/"},
		{"G7 http", "http://hooks.example.com/"},
		{"G7 opaque", "https:hooks.example.com"},
		{"G7 no host", "https:///x"},
		{"G8 user", "https://user@hooks.example.com/"},
		{"G8 user and password", "https://user:pass@hooks.example.com/"},
		{"port", "https://hooks.example.com:8443/"},
		{"port of SSH", "https://hooks.example.com:22/"},
		{"port zero", "https://hooks.example.com:0/"},
		{"line end", "https://hooks.example.com/\r\nHost: x"},
		{"space", "https://hooks.example.com /"},
		{"backslash", `https://hooks.example.com\@127.0.0.1/`},
		{"nothing", ""},
	} {
		r := &resolver{names: map[string][]string{"hooks.example.com": {"8.8.8.8"}, "pay.example.com": {"8.8.8.8"}}}
		cl := client(t, egress.Options{Resolver: r, RefuseHosts: []string{"pay.example.com"}})
		_, err := cl.Post(t.Context(), c.address, nil, nil)
		if !errors.Is(err, egress.ErrAddress) || r.asked != 0 {
			t.Errorf("%s: %v, %d names looked up", c.row, err, r.asked)
		}
	}
}

// Guards G3 and G4: a name with one private address among public ones is refused whole, and a name that was public when
// it was registered is refused when it is private at the call.
func TestG3G4Names(t *testing.T) {
	t.Parallel()
	r := &resolver{names: map[string][]string{"mixed.example.com": {"8.8.8.8", "10.0.0.1"}, "turns.example.com": {"8.8.8.8"}}}
	c := client(t, egress.Options{Resolver: r})
	if _, err := c.Post(t.Context(), "https://mixed.example.com/", nil, nil); !errors.Is(err, egress.ErrAddress) {
		t.Errorf("G3: %v", err)
	}
	if err := c.Check("https://turns.example.com/"); err != nil {
		t.Errorf("G4 at registration: %v", err)
	}
	r.names["turns.example.com"] = []string{"169.254.169.254"}
	if _, err := c.Post(t.Context(), "https://turns.example.com/", nil, nil); !errors.Is(err, egress.ErrAddress) {
		t.Errorf("G4 at the call: %v", err)
	}
	if _, err := c.Post(t.Context(), "https://nowhere.example.com/", nil, nil); !errors.Is(err, egress.ErrConnect) {
		t.Errorf("a name that is not there: %v", err)
	}
}

// Guards G5 and the other limits of a call: no redirect is followed, no proxy of the environment used, no cookie kept,
// nothing unpacked, and an endless or slow answer is cut.
func TestG5Calls(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	followed := false
	mux := http.NewServeMux()
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/secret", http.StatusFound) })
	mux.HandleFunc("/secret", func(http.ResponseWriter, *http.Request) { followed = true })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for range 1000 {
			if _, err := w.Write(bytes.Repeat([]byte("x"), 10_000)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/cookie", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		_, _ = fmt.Fprint(w, len(r.Cookies()), r.Header.Get("Accept-Encoding"))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c := client(t, egress.Options{AllowPrivate: true, Timeout: time.Minute})
	a, err := c.Post(t.Context(), server.URL+"/redirect", nil, nil)
	if err != nil || a.Status != http.StatusFound || followed {
		t.Errorf("G5: %v, %d, followed %v", err, a.Status, followed)
	}
	if a, err = c.Post(t.Context(), server.URL+"/endless", nil, nil); err != nil || len(a.Body) != 16<<10 {
		t.Errorf("endless: %v, %d bytes", err, len(a.Body))
	}
	hasty := client(t, egress.Options{AllowPrivate: true, Timeout: 500 * time.Millisecond})
	if _, err = hasty.Post(t.Context(), server.URL+"/slow", nil, nil); !errors.Is(err, egress.ErrAnswer) {
		t.Errorf("slow: %v", err)
	}
	for range 2 {
		if a, err = c.Post(t.Context(), server.URL+"/cookie", nil, nil); err != nil || string(a.Body) != "0" {
			t.Errorf("cookies or encodings sent: %v, %q", err, a.Body)
		}
	}
}

// Guards G9: what is shown to whoever chose the address names nothing of our network.
func TestG9ErrorsSayNothing(t *testing.T) {
	t.Parallel()
	c := client(t, egress.Options{Resolver: &resolver{names: map[string][]string{"hooks.example.com": {"10.1.2.3"}}}})
	dev := client(t, egress.Options{AllowPrivate: true, Timeout: time.Minute})
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	for name, post := range map[string]func() error{
		"private":     func() error { _, err := c.Post(t.Context(), "https://hooks.example.com/", nil, nil); return err },
		"certificate": func() error { _, err := dev.Post(t.Context(), server.URL, nil, nil); return err },
		"closed":      func() error { _, err := dev.Post(t.Context(), "http://127.0.0.1:1", nil, nil); return err },
	} {
		err := post()
		if err == nil || strings.ContainsAny(err.Error(), "0123456789") || strings.Contains(err.Error(), "example") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Guards G10: private addresses are for development, said so explicitly, and never beside anything live.
func TestG10Development(t *testing.T) {
	t.Parallel()
	if _, err := egress.New(egress.Options{AllowPrivate: true, Live: true}); err == nil {
		t.Error("allowed in live mode")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer server.Close()
	if a, err := client(t, egress.Options{AllowPrivate: true}).Post(t.Context(), server.URL, nil, nil); err != nil || a.Status != http.StatusTeapot {
		t.Errorf("development: %v, %d", err, a.Status)
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, egress.Options{}).Post(t.Context(), "https://"+u.Host, nil, nil); !errors.Is(err, egress.ErrAddress) {
		t.Errorf("production: %v", err)
	}
}

// Guards signatures: Standard Webhooks' own test vector, one signature a key, and no weak secret.
func TestSign(t *testing.T) {
	t.Parallel()
	// From the specification's reference libraries: secret, id, timestamp, body, signature.
	key, err := egress.Key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	h := egress.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), key, bytes.Repeat([]byte("k"), 24))
	first, second, _ := strings.Cut(h.Get("webhook-signature"), " ")
	if first != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" || h.Get("webhook-timestamp") != "1614265330" || h.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" {
		t.Errorf("%v", h)
	}
	mac := hmac.New(sha256.New, bytes.Repeat([]byte("k"), 24))
	mac.Write([]byte(`msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}`))
	if second != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		t.Errorf("second key: %s", second)
	}
	for _, bad := range []string{"", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "plain words that are long enough, but no base64"} {
		if _, err := egress.Key(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) && len(bad) > 8 {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
