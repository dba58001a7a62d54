package gateway_test

import (
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Guards against open redirects: only an exact origin of the app's list, and loopback in test mode, whatever the
// spelling. Everything that browsers and parsers read differently is refused.
func TestCheckReturnURL(t *testing.T) {
	t.Parallel()
	test := gateway.App{Mode: payment.ModeTest, ReturnOrigins: []string{"https://good.test", "https://good.test:8443"}}
	live := gateway.App{Mode: payment.ModeLive, ReturnOrigins: []string{"https://good.test", "http://plain.test"}}
	for _, good := range []string{
		"https://good.test", "https://good.test/", "https://good.test?x=1", "https://good.test/a/b?x=1&y=%2f%2fevil.test", "https://good.test:8443/x",
		"https://good.test//evil.test", "https://good.test/@evil.test", "https://good.test/https://evil.test", "http://127.0.0.1", "http://127.0.0.1:8090/x",
		"http://localhost", "http://localhost:3000/?a=b", "http://localhost:65535/", "https://good.test/" + strings.Repeat("x", 1900),
	} {
		if err := gateway.CheckReturnURL(good, test); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", " ", "/", "//", "//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test", "https:evil.test", "https:/evil.test", "https:///evil.test", "https://", "https:",
		"https:\\\\evil.test", "https://evil.test", "http://evil.test", "http://good.test", "https://good.test@evil.test", "https://good.test:443@evil.test/", "https://good.test%40evil.test",
		"https://user@good.test", "https://user:pw@good.test/", "https://:@good.test/", "https://@good.test/", "https://evil.test#good.test", "https://evil.test?good.test", "https://evil.test\\@good.test",
		"https://good.test\\@evil.test", "https://good.test\\.evil.test", "https://good.test.evil.test", "https://good.testevil", "https://xgood.test", "https://evil-good.test", "https://sub.good.test",
		"https://good.test.", "https://good.test.:443", "https://good..test", "https://GOOD.test", "HTTPS://good.test", "Https://good.test/", "https://good.test:443", "https://good.test:", "https://good.test:80", "https://good.test:8444",
		"https://good.test:08443", "https://good.test%2f%2fevil.test", "https://good.test%2fevil", "https://good.test%00.evil.test", "https://good.test%2eevil.test", "https://good%2etest",
		"%2f%2fevil.test", "https%3a//good.test", "https://good.test\t/", "\thttps://good.test", "https://good.test\n", "https://good.test/\r\nSet-Cookie:a=b", "https://good.test/\x00", "https://good.test/a b", "https://good.test/\x7f",
		"java\nscript:alert(1)", "javascript:alert(1)", "javascript://good.test/%0aalert(1)", "data:text/html,x", "data://good.test/x", "vbscript:x", "file:///etc/passwd", "ftp://good.test", "ws://good.test", "blob:https://good.test/1",
		"https://göod.test", "https://good.test。evil.test", "https://good\u200b.test", "https://good.test／evil", "https://ｇood.test", "https://xn--good-test", "https://good.test/ä",
		"https://good.test#x", "https://good.test/#", "https://good.test/?a#b",
		"http://localhost.evil", "http://localhost.evil.test", "http://127.0.0.1.evil", "http://127.0.0.1.evil.test:80/", "http://127.0.0.1:", "http://localhost:", "http://127.0.0.1@evil.test", "http://127.0.0.1:80@evil.test",
		"http://localhost:99999", "http://127.0.0.1:65536/", "http://localhost:0/", "http://localhost:08080", "http://localhost:-1", "http://localhost:80x", "http://LOCALHOST", "http://localhost.", "http://127.1", "http://2130706433", "http://0x7f.0.0.1", "http://127.0.0.01", "http://0.0.0.0", "http://127.0.0.2",
		"http://[::1]", "http://[::1]:8090/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::ffff:127.0.0.1]", "https://[good.test]", "https://[::1", "http://127.0.0.1%2f@evil.test", "https://127.0.0.1", "https://localhost",
		"https://good.test/" + strings.Repeat("x", 4096), "https://good.test/%zz\\", "https://good.test/\u2028", "://good.test", "good.test", "good.test/https://good.test",
	} {
		if err := gateway.CheckReturnURL(bad, test); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if err := gateway.CheckReturnURL("https://good.test/x", live); err != nil {
		t.Errorf("live: %v", err)
	}
	for _, bad := range []string{"http://127.0.0.1", "http://localhost:8090/", "http://good.test", "http://plain.test/", "https://good.test:8443/"} {
		if err := gateway.CheckReturnURL(bad, live); err == nil {
			t.Errorf("live: %q was accepted", bad)
		}
	}
}

// Guards the same against whatever a fuzzer finds: what is accepted has one of the allowed origins, by its text.
func FuzzCheckReturnURL(f *testing.F) {
	for _, seed := range []string{"https://good.test/x", "//evil", "https://good.test@evil.test", "http://localhost:1/", "https:\\\\good.test"} {
		f.Add(seed)
	}
	app := gateway.App{Mode: payment.ModeTest, ReturnOrigins: []string{"https://good.test"}}
	f.Fuzz(func(t *testing.T, raw string) {
		if gateway.CheckReturnURL(raw, app) != nil {
			return
		}
		for _, origin := range []string{"https://good.test", "http://localhost", "http://127.0.0.1"} {
			rest, ok := strings.CutPrefix(raw, origin)
			if !ok {
				continue
			}
			if strings.HasPrefix(origin, "http://") {
				if port, colon := strings.CutPrefix(rest, ":"); colon {
					rest = strings.TrimLeft(port, "0123456789")
				}
			}
			if rest == "" || rest[0] == '/' || rest[0] == '?' {
				return
			}
		}
		t.Errorf("%q was accepted", raw)
	})
}
