package mailbox_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/mailbox"
)

// Guards the demo's inbox: what is sent to it is shown, a hostile mail can do nothing on its pages, and it works without
// scripts.
func TestInbox(t *testing.T) {
	t.Parallel()
	box, err := mailbox.New(time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- box.Serve(ctx, l) }()
	mail := strings.ReplaceAll(`Subject: =?UTF-8?q?caf=C3=A9_<b>?=
Message-Id: <1@x>
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain
Content-Transfer-Encoding: quoted-printable

plain =3D <script>alert(1)</script>
--b
Content-Type: text/html
Content-Transfer-Encoding: base64

PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0PjxwPmh0bWw8L3A+
--b--
`, "\n", "\r\n")
	for range 3 {
		if err := smtp.SendMail(l.Addr().String(), nil, "a@x.example", []string{"b@x.example"}, []byte(mail)); err != nil {
			t.Fatal(err)
		}
	}
	if err := smtp.SendMail(l.Addr().String(), nil, "a@x.example", []string{"b@x.example"}, []byte("no mail at all")); err == nil {
		t.Error("took what is no mail")
	}
	mails := box.Mails()
	if len(mails) != 3 || mails[0].Subject != "café <b>" || mails[0].To[0] != "b@x.example" || !strings.Contains(mails[0].Text, "plain = <script>") || !strings.Contains(mails[0].HTML, "<p>html</p>") {
		t.Fatalf("mails %+v", mails)
	}
	web := httptest.NewServer(box)
	defer web.Close()
	get := func(path string) (int, http.Header, string) {
		t.Helper()
		resp, err := http.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header, string(b)
	}
	for _, path := range []string{"/", "/mails/2"} {
		code, h, page := get(path)
		if code != 200 || strings.Contains(page, "<script") || !strings.Contains(page, "café &lt;b&gt;") || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d, %v\n%s", path, code, h, page)
		}
	}
	code, h, page := get("/mails/2/html")
	if policy := h.Get("Content-Security-Policy"); code != 200 || !strings.Contains(page, "<p>html</p>") || !strings.HasPrefix(policy, "sandbox ") || strings.Contains(policy, "allow-scripts") || strings.Contains(policy, "allow-same-origin") {
		t.Errorf("the HTML part: %d, %v", code, h)
	}
	for _, path := range []string{"/mails/9", "/mails/x", "/mails/9/html", "/other"} {
		if code, _, _ := get(path); code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Guards that a flood of mails does not eat the demo's memory: the newest are kept, numbers go on.
func TestOnlyTheNewest(t *testing.T) {
	t.Parallel()
	box, err := mailbox.New(time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 205 {
		s, err := box.NewSession(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Data(strings.NewReader("Subject: x\r\n\r\ntext")); err != nil {
			t.Fatal(err)
		}
	}
	if m := box.Mails(); len(m) != 200 || m[199].Number != 205 || m[199].Text != "text" {
		t.Errorf("%d mails, the last %+v", len(m), m[len(m)-1])
	}
}
