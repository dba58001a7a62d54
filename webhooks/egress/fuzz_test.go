package egress_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/webhooks/egress"
)

// nowhere resolves every name to one address.
type nowhere struct{ ip netip.Addr }

func (n nowhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{n.ip}, nil
}

// FuzzAddress: no spelling of an address is let through that is not https to a public
// place, and none reaches our own network when its name resolves into it (G1 to G8).
func FuzzAddress(f *testing.F) {
	for _, s := range []string{
		"https://hooks.example.com/x", "https://127.0.0.1/", "https://[::1]/", "https://0x7f.1/", "https://2130706433/", "https://[::ffff:10.0.0.1]/", "https://[fe80::1%25eth0]/",
		"http://hooks.example.com/", "https://u:p@hooks.example.com/", "https://localhost/", "https:hooks.example.com", "https://hooks.example.com:22/", "gopher://x/", "https://1.1.1.1/",
		"https://pay.example.com/", "https://PAY.example.com./", "https://①②⑦.0.0.1/", "https://[64:ff9b:1::a00:1]/", "//hooks.example.com", "https://\\hooks.example.com", "https://hooks.example.com\n/",
	} {
		f.Add(s)
	}
	guard, err := egress.New(egress.Options{RefuseHosts: []string{"pay.example.com"}, Resolver: nowhere{netip.MustParseAddr("10.1.2.3")}, Timeout: time.Second})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if err := guard.Check(address); err != nil {
			if !errors.Is(err, egress.ErrAddress) {
				t.Fatalf("%q: %v", address, err)
			}
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, nil)
		if err != nil {
			return // can't be called either
		}
		host := strings.ToLower(strings.TrimSuffix(req.URL.Hostname(), "."))
		if req.URL.Scheme != "https" || req.URL.User != nil || host == "" || host == "pay.example.com" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
			t.Fatalf("%q was let through", address)
		}
		if p := req.URL.Port(); p != "" && p != "443" {
			t.Fatalf("%q: port %s was let through", address, p)
		}
		if ip, err := netip.ParseAddr(host); err == nil {
			if ip = ip.Unmap(); ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.Zone() != "" {
				t.Fatalf("%q: %s was let through", address, ip)
			}
			return // a public address: not called from a test
		}
		if _, err := guard.Post(t.Context(), address, nil, nil); !errors.Is(err, egress.ErrAddress) {
			t.Fatalf("%q led to 10.1.2.3: %v", address, err)
		}
	})
}

// verified is a receiver's check, written from the Standard Webhooks specification and
// not from our code: constant time, and the time within five minutes.
func verified(secret string, h http.Header, body []byte, now time.Time) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	if err != nil {
		return err
	}
	if d := now.Unix() - seconds; d > 300 || d < -300 {
		return errors.New("the time is too far")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", h.Get("Webhook-Id"), seconds, body)
	for signature := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		version, text, _ := strings.Cut(signature, ",")
		got, err := base64.StdEncoding.DecodeString(text)
		if version == "v1" && err == nil && hmac.Equal(got, mac.Sum(nil)) {
			return nil
		}
	}
	return errors.New("no signature matches")
}

// FuzzSign: what we sign, an independent verifier accepts with either secret; with one
// bit of body, id or time changed, or with another secret, it does not.
func FuzzSign(f *testing.F) {
	f.Add("evt_1", int64(1_772_366_100), []byte(`{"a":1}`), uint(0))
	f.Add("", int64(0), []byte{}, uint(9))
	f.Add("a.b", int64(-5), []byte(".."), uint(3))
	secret := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("a"), 24))
	second := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("b"), 32))
	other := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("c"), 24))
	f.Fuzz(func(t *testing.T, id string, seconds int64, body []byte, flip uint) {
		if strings.ContainsAny(id, "\r\n\x00") || strings.TrimSpace(id) != id {
			return // our ids are letters, digits and an underscore
		}
		seconds %= 1 << 40
		var keys [][]byte
		for _, s := range []string{secret, second} {
			key, err := egress.Key(s)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		at := time.Unix(seconds, 0)
		h := egress.Sign(id, at, body, keys...)
		for _, s := range []string{secret, second} {
			if err := verified(s, h, body, at); err != nil {
				t.Fatalf("%q at %d: %v", id, seconds, err)
			}
		}
		if verified(other, h, body, at) == nil {
			t.Fatal("another secret verifies")
		}
		if len(body) > 0 {
			changed := bytes.Clone(body)
			changed[flip%uint(len(body))] ^= 1 << (flip % 8)
			if verified(secret, h, changed, at) == nil {
				t.Fatal("a changed body verifies")
			}
		}
		h.Set("Webhook-Id", id+"x")
		if verified(secret, h, body, at) == nil {
			t.Fatal("another id verifies")
		}
		h.Set("Webhook-Id", id)
		h.Set("Webhook-Timestamp", strconv.FormatInt(seconds+1, 10))
		if verified(secret, h, body, at) == nil {
			t.Fatal("another time verifies")
		}
	})
}
