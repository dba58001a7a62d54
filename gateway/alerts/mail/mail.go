// Package mail brings alerts to people by SMTP: one mail a message and recipient, with
// a plain and an HTML part, to configured addresses only.
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
	"slices"
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
	to     []string // as they stand in a header
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
	from, err := address(o.From)
	if err != nil {
		return nil, err
	}
	_, c.domain, _ = strings.Cut(from.Address, "@")
	for _, a := range o.To {
		parsed, err := address(a)
		if err != nil {
			return nil, err
		}
		c.to = append(c.to, parsed.String())
	}
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

// Send sends one mail, in one try: to each recipient by itself, under the same message
// id, since a server that is given all of them takes none when it refuses one. It is
// sent when anybody took it; an alerts.Partial tells of who did not. When nobody did, a
// refusal of this very mail (5xx to its sender, recipients or text) is permanent;
// everything else is the server's.
func (c *Channel) Send(ctx context.Context, m alerts.Message) error {
	mails := make([]*gomail.Msg, 0, len(c.o.To))
	for _, to := range c.o.To {
		msg, err := c.message(m, to)
		if err != nil {
			return alerts.Failure{Permanent: true, Cause: err}
		}
		mails = append(mails, msg)
	}
	var refused []error
	for at := 0; at < len(mails); {
		n, reached, err := c.deliver(ctx, mails[at:])
		if at += n; err == nil {
			continue
		}
		refused = append(refused, fmt.Errorf("recipient %d of %d: %w", at+1, len(mails), err))
		if at++; !reached { // there is nobody to offer the others to
			break
		}
	}
	took := 0
	for _, msg := range mails {
		if msg.IsDelivered() {
			took++
		}
	}
	switch {
	case took == len(mails):
		return nil
	case took > 0:
		return alerts.Partial{Missed: len(mails) - took, Of: len(mails), Cause: briefly(refused)}
	}
	permanent := !slices.ContainsFunc(refused, func(err error) bool { return code(err) < 500 || code(err) > 599 })
	return alerts.Failure{Permanent: permanent, Cause: fmt.Errorf("mail: %w", errors.Join(refused...))}
}

// code is what the server answered, zero where it did not.
func code(err error) int {
	if refused, ok := errors.AsType[*gomail.SendError](err); ok {
		return refused.ErrorCode()
	}
	return 0
}

// briefly says who was refused by their place in the configuration: what the library says
// holds addresses, and would be in the log with each alert.
func briefly(refused []error) error {
	var places []string
	for _, err := range refused {
		place, _, _ := strings.Cut(err.Error(), ":")
		if n := code(err); n > 0 {
			place += fmt.Sprintf(" (%d)", n)
		}
		places = append(places, place)
	}
	return errors.New("mail: " + strings.Join(places, ", "))
}

// deliver sends mails on one connection until one is refused, and says how many went
// before that. reached is whether the server was ready for a mail at all. What comes after
// a refusal gets a connection of its own: nobody knows what state this one is in.
func (c *Channel) deliver(ctx context.Context, mails []*gomail.Msg) (n int, reached bool, err error) {
	var line line
	defer line.close()
	patience, err := c.patience(ctx, 1) // all of it: a server may be slow to greet
	if err != nil {
		return 0, false, err
	}
	client, err := gomail.NewClient(c.o.Host, append(c.options(line.hold), gomail.WithTimeout(patience))...)
	if err != nil {
		return 0, false, err
	}
	// The library forgets a connection that breaks in the greeting, and looks at
	// the context only while it dials.
	defer context.AfterFunc(ctx, line.close)()
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = client.CloseWithSMTPClient(conn) }() // that the server hangs up before our QUIT is no failure
	for i, msg := range mails {
		if patience, err = c.patience(ctx, len(mails)-i); err != nil {
			return i, false, err
		}
		if err = gomail.WithTimeout(patience)(client); err != nil {
			return i, false, err
		}
		err = client.SendWithSMTPClient(conn, msg)
		switch {
		case err != nil && !msg.IsDelivered() && i > 0 && code(err) < 500:
			return i, true, nil // some servers take few mails on one connection: it gets another one
		case err != nil && !msg.IsDelivered():
			return i, true, err
		case err != nil: // it went, and the connection with it
			return i + 1, true, nil
		}
	}
	return len(mails), true, nil
}

// patience is how long the next of so many mails may take, so that a server which hangs
// over one recipient leaves time for the others.
func (c *Channel) patience(ctx context.Context, mails int) (time.Duration, error) {
	end, ok := ctx.Deadline()
	if err := ctx.Err(); err != nil || !ok {
		return c.o.Timeout, err
	}
	left := time.Until(end) //nolint:forbidigo // bounds a wait on the network, decides nothing
	return min(c.o.Timeout, max(left/time.Duration(mails), time.Millisecond)), nil
}

// line is one connection.
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
	opts := []gomail.Option{gomail.WithPort(c.o.Port), gomail.WithTLSConfig(config), gomail.WithoutNoop()}
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
// end in it; everything foreign stands in the body only. It names all recipients, and goes
// to the one.
func (c *Channel) message(m alerts.Message, to string) (*gomail.Msg, error) {
	subject := m.Subject()
	if strings.ContainsAny(subject+m.ID, "\r\n") {
		return nil, errors.New("mail: a line end in a header")
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From(c.o.From); err != nil {
		return nil, fmt.Errorf("mail: from: %w", err)
	}
	if err := msg.Bcc(to); err != nil { // the envelope's; the library writes no such line
		return nil, fmt.Errorf("mail: to: %w", err)
	}
	msg.SetGenHeader("To", c.to...)
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
