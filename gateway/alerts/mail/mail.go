// Package mail brings alerts to people by SMTP: one mail a message, with a plain
// and an HTML part, to configured addresses only.
//
// It must not: put foreign text into a header, copy anybody who is not
// configured, wait or try again (gateway/alerts does), or send a password over a
// connection that is not encrypted.
package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net"
	netmail "net/mail"
	"regexp"
	"strings"
	"sync"
	texttemplate "text/template"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
)

//go:embed mail.html mail.txt
var files embed.FS

// TLS policies.
const (
	STARTTLS = "starttls" // encrypted after the greeting, or not at all sent; the default
	Implicit = "implicit" // encrypted from the first byte
	Plain    = "none"     // not encrypted: for a server on this machine
)

// Options are what a mail channel needs.
type Options struct {
	Host string
	Port int // default: 587, 465 with Implicit, 25 with Plain
	TLS  string
	// User and Password log in; both or neither.
	User, Password string
	From           string   // an address, with or without a name
	To             []string // likewise; at least one
	Timeout        time.Duration
	// TLSConfig replaces the system's roots, for tests.
	TLSConfig *tls.Config
}

// Channel sends mails. It is an alerts.Channel.
type Channel struct {
	o      Options
	domain string
	html   *htmltemplate.Template
	text   *texttemplate.Template
}

var _ alerts.Channel = (*Channel)(nil)

// New checks the options.
func New(o Options) (*Channel, error) {
	if o.Host == "" || len(o.To) == 0 {
		return nil, errors.New("mail: a host and at least one recipient are required")
	}
	if o.TLS == "" {
		o.TLS = STARTTLS
	}
	usual, ok := map[string]int{STARTTLS: 587, Implicit: 465, Plain: 25}[o.TLS]
	if o.Port == 0 {
		o.Port = usual
	}
	if !ok {
		return nil, fmt.Errorf("mail: the TLS policy %q is none of starttls, implicit, none", o.TLS)
	}
	if o.TLS == Plain && o.Password != "" {
		return nil, errors.New("mail: a password is only sent over TLS")
	}
	if o.Timeout <= 0 {
		o.Timeout = 20 * time.Second
	}
	c := &Channel{o: o}
	for _, a := range append([]string{o.From}, o.To...) {
		parsed, err := address(a)
		if err != nil {
			return nil, err
		}
		if c.domain == "" {
			_, c.domain, _ = strings.Cut(parsed.Address, "@")
		}
	}
	var err error
	if c.html, err = htmltemplate.ParseFS(files, "mail.html"); err != nil {
		return nil, fmt.Errorf("mail: page: %w", err)
	}
	if c.text, err = texttemplate.ParseFS(files, "mail.txt"); err != nil {
		return nil, fmt.Errorf("mail: text: %w", err)
	}
	return c, nil
}

// address reads one configured address. What could end a header line is refused.
func address(s string) (*netmail.Address, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return nil, errors.New("mail: an address holds control characters")
	}
	a, err := netmail.ParseAddress(s)
	if err != nil {
		return nil, fmt.Errorf("mail: an address can't be read: %w", err)
	}
	return a, nil
}

var plainID = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

// Send sends one mail, in one try. A refusal of this very mail (5xx to its
// sender, recipients or text) is permanent; everything else is the server's.
func (c *Channel) Send(ctx context.Context, m alerts.Message) error {
	msg, err := c.message(m)
	if err != nil {
		return alerts.Failure{Permanent: true, Cause: err}
	}
	var line line
	defer line.close()
	client, err := gomail.NewClient(c.o.Host, c.options(line.hold)...)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	// The library forgets a connection that breaks in the greeting, and looks at
	// the context only while it dials.
	defer context.AfterFunc(ctx, line.close)()
	err = client.DialAndSendWithContext(ctx, msg)
	if err == nil || msg.IsDelivered() { // that the server hung up before our QUIT is no failure
		return nil
	}
	var refused *gomail.SendError
	if errors.As(err, &refused) && refused.ErrorCode() >= 500 && refused.ErrorCode() < 600 {
		return alerts.Failure{Permanent: true, Cause: fmt.Errorf("mail: %w", err)}
	}
	return alerts.Failure{Cause: fmt.Errorf("mail: %w", err)}
}

// line is the connection of one mail.
type line struct {
	mu   sync.Mutex
	conn net.Conn
}

func (l *line) hold(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
}

// close hangs up. Whatever is said about that changes nothing any more.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

func (c *Channel) options(dialed func(net.Conn)) []gomail.Option {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.o.TLSConfig != nil {
		config = c.o.TLSConfig.Clone()
	}
	config.ServerName = c.o.Host
	opts := []gomail.Option{gomail.WithPort(c.o.Port), gomail.WithTimeout(c.o.Timeout), gomail.WithTLSConfig(config), gomail.WithoutNoop()}
	if c.o.TLS != Implicit { // there the library believes in TLS only if it dialed itself
		opts = append(opts, gomail.WithDialContextFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				dialed(conn)
			}
			return conn, err
		}))
	}
	switch c.o.TLS {
	case STARTTLS:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case Implicit:
		opts = append(opts, gomail.WithSSL())
	default:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if c.o.User != "" {
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(c.o.User), gomail.WithPassword(c.o.Password))
	}
	return opts
}

// message writes the mail. Whatever is bound for a header is refused with a line
// end in it; everything foreign stands in the body only.
func (c *Channel) message(m alerts.Message) (*gomail.Msg, error) {
	subject := m.Subject()
	if strings.ContainsAny(subject+m.ID, "\r\n") {
		return nil, errors.New("mail: a line end in a header")
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From(c.o.From); err != nil {
		return nil, fmt.Errorf("mail: from: %w", err)
	}
	if err := msg.To(c.o.To...); err != nil {
		return nil, fmt.Errorf("mail: to: %w", err)
	}
	msg.Subject(subject)
	msg.SetMessageIDWithValue(plainID.ReplaceAllString(m.ID, "-") + "@" + c.domain)
	msg.SetDateWithValue(m.At)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no holiday answers, please
	if m.Severity == alerts.Critical {
		msg.SetImportance(gomail.ImportanceHigh)
	}
	var text, html bytes.Buffer
	if err := c.text.Execute(&text, m); err != nil {
		return nil, fmt.Errorf("mail: text: %w", err)
	}
	if err := c.html.Execute(&html, view{m, colour(m.Severity)}); err != nil {
		return nil, fmt.Errorf("mail: page: %w", err)
	}
	msg.SetBodyString(gomail.TypeTextPlain, text.String())
	msg.AddAlternativeString(gomail.TypeTextHTML, html.String())
	return msg, nil
}

type view struct {
	alerts.Message
	Colour htmltemplate.CSS
}

// colour marks the severity; the word stands beside it for who can't see it.
func colour(severity string) htmltemplate.CSS {
	switch severity {
	case alerts.Critical:
		return "#b00020"
	case alerts.Warning:
		return "#8a5a00"
	}
	return "#2f5d8a"
}
