package mail_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/alerts/mail"
)

// post is a scripted mail server.
type post struct {
	mu       sync.Mutex
	got      []string // whole mails
	inboxes  []string // who got each
	rcpts    []string
	logins   []string
	rcptErr  error
	refuse   map[string]error // by recipient
	hang     string           // the recipient that is never answered for
	over     chan struct{}    // closed when the test ends
	single   bool             // takes one mail on each connection
	conns    int              // how many there were
	mailErr  error
	quota    int // mails, after which our sender is refused for good; 0 for none
	dataErr  error
	dislike  map[string]error // of a text, by one of its recipients
	think    time.Duration    // before a text is answered
	dropData bool             // hangs up after the mail was taken in
}

// inbox is who got a mail, sorted, once for each.
func (p *post) inbox() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(slices.Sorted(slices.Values(p.inboxes)), " ")
}

func (p *post) NewSession(c *smtp.Conn) (smtp.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns++
	return &session{p: p, conn: c}, nil
}

type session struct {
	p    *post
	conn *smtp.Conn
	took int
	to   []string
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		s.p.logins = append(s.p.logins, user)
		if password != "right" {
			return errors.New("no")
		}
		return nil
	}), nil
}
func (s *session) Reset()        { s.to = nil }
func (s *session) Logout() error { return nil }

func (s *session) Mail(string, *smtp.MailOptions) error {
	if s.p.single && s.took > 0 {
		return &smtp.SMTPError{Code: 421, Message: "too many mails on this connection"}
	}
	if s.p.quota > 0 && len(s.p.got) >= s.p.quota {
		return &smtp.SMTPError{Code: 550, Message: "enough of you"}
	}
	return s.p.mailErr
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.p.hang == to {
		<-s.p.over
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.rcpts = append(s.p.rcpts, to)
	if err := s.p.refuse[to]; err != nil {
		return err
	}
	s.to = append(s.to, to)
	return s.p.rcptErr
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.p.think > 0 {
		select {
		case <-time.After(s.p.think): //nolint:forbidigo // a server of its own, over a network: there is no clock to inject
		case <-s.p.over:
		}
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for _, to := range s.to {
		if err := s.p.dislike[to]; err != nil {
			return err
		}
	}
	if s.p.dataErr != nil {
		return s.p.dataErr
	}
	s.p.got, s.p.inboxes = append(s.p.got, string(b)), append(s.p.inboxes, s.to...)
	s.took++
	if s.p.dropData {
		return errors.Join(s.conn.Conn().Close(), errors.New("gone"))
	}
	return nil
}

// certificate makes one for localhost.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// serve starts a mail server and gives a channel to it.
func serve(t *testing.T, p *post, policy string, change func(*mail.Options)) *mail.Channel {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert, pool := certificate(t)
	server := smtp.NewServer(p)
	server.Domain = "localhost"
	if policy == mail.STARTTLS {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	serving := l
	if policy == mail.Implicit {
		serving = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	go func() { _ = server.Serve(serving) }()
	t.Cleanup(func() { _ = server.Close() })
	o := mail.Options{
		Host: "localhost", Port: l.Addr().(*net.TCPAddr).Port, TLS: policy, From: "Trifecta <alerts@pay.example>", To: []string{"Ops <ops@shop.example>", "boss@shop.example"},
		Timeout: time.Minute, TLSConfig: &tls.Config{RootCAs: pool},
	}
	if change != nil {
		change(&o)
	}
	c, err := mail.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func message() alerts.Message {
	return alerts.Message{
		ID: "ntc_0123456789abcdef", Kind: "late_money", Severity: "critical", Reason: "new", Title: "Money arrived on a payment that was over",
		At: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), Happened: "Money moved.", Means: "It means this.", Do: "Do that.",
		Facts: []alerts.Fact{{Name: "Payment", Value: "pay_1"}}, Links: []alerts.Link{{Text: "The payment", URL: "https://pay.example/v1/payments/pay_1"}},
	}
}

// parts reads a mail as a mail program does.
func parts(t *testing.T, raw string) (netmail.Header, map[string]string) {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m.Header, out
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		out[kind] = string(b)
	}
}

func subject(t *testing.T, h netmail.Header) string {
	t.Helper()
	s, err := (&mime.WordDecoder{}).DecodeHeader(h.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Guards what arrives: over each kind of TLS, a mail with a plain and an HTML part that say what happened, what it
// means and what to do, under a message id that is the same each time, to the configured addresses alone.
func TestMail(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{mail.STARTTLS, mail.Implicit, mail.Plain} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			p := &post{}
			c := serve(t, p, policy, func(o *mail.Options) {
				if policy != mail.Plain {
					o.User, o.Password = "alerts", "right"
				}
			})
			for range 2 {
				if err := c.Send(t.Context(), message()); err != nil {
					t.Fatal(err)
				}
			}
			if policy != mail.Plain && len(p.logins) != 2 {
				t.Errorf("logged in as %v", p.logins)
			}
			if got := strings.Join(p.rcpts, " "); got != "ops@shop.example boss@shop.example ops@shop.example boss@shop.example" {
				t.Errorf("recipients %s", got)
			}
			if len(p.got) != 2 {
				t.Fatalf("%d mails, want one each time", len(p.got))
			}
			h, body := parts(t, p.got[0])
			again, _ := parts(t, p.got[1])
			if h.Get("Message-Id") != "<ntc_0123456789abcdef@pay.example>" || again.Get("Message-Id") != h.Get("Message-Id") {
				t.Errorf("message id %q, then %q", h.Get("Message-Id"), again.Get("Message-Id"))
			}
			if got := subject(t, h); got != "[Trifecta] critical: Money arrived on a payment that was over" {
				t.Errorf("subject %q", got)
			}
			if h.Get("Cc") != "" || h.Get("Bcc") != "" || h.Get("Auto-Submitted") != "auto-generated" {
				t.Errorf("header %v", h)
			}
			for kind, text := range body {
				for _, want := range []string{"Money moved.", "It means this.", "Do that.", "https://pay.example/v1/payments/pay_1", "pay_1"} {
					if !strings.Contains(text, want) {
						t.Errorf("%s does not say %q", kind, want)
					}
				}
			}
			if len(body) != 2 {
				t.Errorf("parts %v", body)
			}
		})
	}
}

// Guards L1 and L2: line ends and markup in any field, also in those that ought to be ours, arrive as harmless text or
// not at all.
func TestInjection(t *testing.T) {
	t.Parallel()
	const evil = "x\r\nBcc: victim@example.com\r\n\r\n<script>alert(1)</script><img src=x onerror=alert(1)>{{.Password}}"
	p := &post{}
	c := serve(t, p, mail.Plain, nil)
	m := message()
	m.Title, m.Happened, m.Means, m.Do, m.Kind = evil, evil, evil, evil, evil
	m.Facts = []alerts.Fact{{Name: evil, Value: evil}}
	m.Links = []alerts.Link{{Text: evil, URL: "javascript:alert(1)//" + evil}}
	m.Lines = []alerts.Line{{Severity: evil, Title: evil, Count: 1, Examples: []string{evil}}}
	if err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	h, body := parts(t, p.got[0])
	if h.Get("Bcc") != "" || strings.Contains(strings.Join(p.rcpts, " "), "victim") || strings.ContainsAny(subject(t, h), "\r\n") {
		t.Errorf("L1: header %v, recipients %v", h, p.rcpts)
	}
	html := body["text/html"]
	if strings.Contains(html, "<script") || strings.Contains(html, "<img") || strings.Contains(html, `href="javascript`) || !strings.Contains(html, "&lt;script&gt;") {
		t.Errorf("L2: %s", html)
	}
	if !strings.Contains(body["text/plain"], "<script>") {
		t.Error("L2: the plain part is missing, or was mangled")
	}
	m = message()
	m.ID = "x\r\nBcc: victim@example.com"
	var f alerts.Failure
	if err := c.Send(t.Context(), m); !errors.As(err, &f) || !f.Permanent {
		t.Errorf("L1: a line end in the message id: %v", err)
	}
	for _, to := range []string{"a@b.example\r\nBcc: victim@example.com", "a@b.example\n", "not an address", ""} {
		if _, err := mail.New(mail.Options{Host: "localhost", From: "a@b.example", To: []string{to}}); err == nil {
			t.Errorf("L1: accepted the address %q", to)
		}
	}
}

// Guards what is tried again: trouble of the server is passing, a refusal of this very mail is not, and a server that
// hangs up after taking the mail in may get it twice, under the same id.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		p         *post
		permanent bool
	}{
		{"4xx to a recipient", &post{rcptErr: &smtp.SMTPError{Code: 451, Message: "later"}}, false},
		{"4xx to the text", &post{dataErr: &smtp.SMTPError{Code: 452, Message: "full"}}, false},
		{"5xx to a recipient", &post{rcptErr: &smtp.SMTPError{Code: 550, Message: "no such user"}}, true},
		{"5xx to the text", &post{dataErr: &smtp.SMTPError{Code: 554, Message: "spam"}}, true},
		{"4xx to the sender", &post{mailErr: &smtp.SMTPError{Code: 451, Message: "later"}}, false},
		{"5xx to the sender", &post{mailErr: &smtp.SMTPError{Code: 553, Message: "not you"}}, true},
		{"drops after the text", &post{dropData: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			channel := serve(t, c.p, mail.Plain, nil)
			err := channel.Send(t.Context(), message())
			var f alerts.Failure
			if !errors.As(err, &f) || f.Permanent != c.permanent || f.Unknown != c.p.dropData {
				t.Errorf("%v, permanent %v, unknown %v", err, f.Permanent, f.Unknown)
			}
		})
	}
}

// Guards that no mail server can hold a worker up, that no password and no alert travels in the clear, and that a
// wrong certificate or password is trouble of the channel, not of the mail.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	c, err := mail.New(mail.Options{Host: "127.0.0.1", Port: silent.Addr().(*net.TCPAddr).Port, TLS: mail.Plain, From: "a@b.example", To: []string{"a@b.example"}, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := c.Send(ctx, message()); err == nil || time.Since(begin) > time.Minute { // the caller's patience counts, not the channel's hour
		t.Errorf("a silent server: %v after %s", err, time.Since(begin))
	}
	passing := func(name string, err error) {
		t.Helper()
		var f alerts.Failure
		if !errors.As(err, &f) || f.Permanent {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := &post{}
	c = serve(t, p, mail.Plain, func(o *mail.Options) { o.TLS = mail.STARTTLS })
	passing("a server without TLS", c.Send(t.Context(), message()))
	c = serve(t, p, mail.STARTTLS, func(o *mail.Options) { o.TLSConfig = nil })
	passing("an unknown certificate", c.Send(t.Context(), message()))
	c = serve(t, p, mail.STARTTLS, func(o *mail.Options) { o.User, o.Password = "alerts", "wrong" })
	err = c.Send(t.Context(), message())
	passing("a wrong password", err)
	if strings.Contains(err.Error(), "wrong") {
		t.Errorf("the error holds the password: %v", err)
	}
	c = serve(t, p, mail.STARTTLS, func(o *mail.Options) { o.Port = 1 })
	passing("a server that is gone", c.Send(t.Context(), message()))
	if len(p.got) != 0 {
		t.Errorf("%d mails went out", len(p.got))
	}
	if _, err := mail.New(mail.Options{Host: "localhost", TLS: mail.Plain, Password: "x", User: "y", From: "a@b.example", To: []string{"a@b.example"}}); err == nil {
		t.Error("accepted a password without TLS")
	}
	if _, err := mail.New(mail.Options{Host: "localhost", TLS: "maybe", Port: 1, From: "a@b.example", To: []string{"a@b.example"}}); err == nil {
		t.Error("accepted an unknown TLS policy")
	}
}
