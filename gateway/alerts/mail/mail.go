// Package mail brings alerts to people by SMTP: one mail a message, with a plain and an
// HTML part, to configured addresses only.
//
// It must not: put foreign text into a header, copy anybody who is not
// configured, wait or try again (gateway/alerts does), or send a password over a
// connection that is not encrypted.
package mail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	htmltemplate "html/template"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
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
	From           string        // an address, with or without a name
	To             []string      // likewise; at least one
	Timeout        time.Duration // of a Send, within the caller's; default: a minute
	// TLSConfig replaces the system's roots, for tests.
	TLSConfig *tls.Config
}

// Channel sends mails. It is an alerts.Channel.
type Channel struct {
	o      Options
	from   string // as MAIL has it
	domain string
	to     []string // as they stand in a header
	rcpts  []string // as RCPT has them
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
		o.Timeout = time.Minute
	}
	c := &Channel{o: o}
	from, err := address(o.From)
	if err != nil {
		return nil, err
	}
	c.from = envelope(from)
	_, c.domain, _ = strings.Cut(from.Address, "@")
	for _, a := range o.To {
		parsed, err := address(a)
		if err != nil {
			return nil, err
		}
		c.to, c.rcpts = append(c.to, parsed.String()), append(c.rcpts, envelope(parsed))
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

// envelope is the address alone, quoted where it needs to be.
func envelope(a *netmail.Address) string { return (&netmail.Address{Address: a.Address}).String() }

var plainID = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

// Send sends one mail, in one try, to whoever is not done with it. Each of them the server
// may refuse by itself: for good (5xx), or for now. It is sent when everybody took it, or was
// refused it for good while others took it; an alerts.Partial tells of who did not get it,
// and marks the others. When nobody took it, a refusal of this very mail (5xx to its sender,
// recipients or text) is permanent; everything else is the server's.
func (c *Channel) Send(ctx context.Context, m alerts.Message) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	msg, err := c.message(m)
	if err != nil {
		return alerts.Failure{Permanent: true, Cause: err}
	}
	var people []*person
	for i, rcpt := range c.rcpts {
		if p := (&person{place: i + 1, rcpt: rcpt, mark: mark(rcpt)}); !slices.Contains(m.Done, p.mark) {
			people = append(people, p)
		}
	}
	if len(people) == 0 { // whoever lacked it is configured no more
		return nil
	}
	trouble := c.offer(ctx, msg, people)
	unbar(people, len(m.Done) > 0)
	return c.result(m.Done, people, trouble)
}

// mark stands for an address in what is stored.
func mark(rcpt string) string {
	sum := sha256.Sum256([]byte("alert recipient\n" + strings.ToLower(rcpt)))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// result is what came of a mail, from what came of it for each. trouble is the server's.
func (c *Channel) result(done []string, people []*person, trouble error) error {
	n := map[outcome]int{}
	marks := slices.Clone(done)
	var causes []error
	for _, p := range people {
		n[p.got]++
		if p.got == taken || p.got == refused {
			marks = append(marks, p.mark)
		}
		if p.err != nil {
			causes = append(causes, fmt.Errorf("recipient %d of %d: %w", p.place, len(c.rcpts), p.err))
		}
	}
	if trouble != nil {
		causes = append(causes, trouble)
	}
	lack := n[waiting] + n[putOff] + n[unknown]
	if n[taken] == len(people) {
		return nil
	}
	if n[taken] > 0 || len(done) > 0 && lack == 0 {
		return alerts.Partial{Missed: n[refused], Later: lack, Of: len(c.rcpts), Unknown: n[unknown] > 0, Done: marks, Cause: c.briefly(people)}
	}
	// Of a mailbox that is full for days when others have the mail the server is not to be
	// blamed, nor for what it refused some before the time was over.
	about := trouble == nil && (len(done) > 0 || n[refused] > 0 && n[putOff] == 0)
	return alerts.Failure{Permanent: about && n[unknown] == 0, Unknown: n[unknown] > 0, Cause: unaddressed(errors.Join(causes...))}
}

// briefly says who lacks it by their place in the configuration, to be in the log with each
// alert.
func (c *Channel) briefly(people []*person) error {
	var places []string
	for _, p := range people {
		if p.got == taken {
			continue
		}
		place := fmt.Sprintf("recipient %d of %d", p.place, len(c.rcpts))
		if n := code(p.err); n > 0 {
			place += fmt.Sprintf(" (%d)", n)
		}
		places = append(places, place)
	}
	return errors.New("mail: " + strings.Join(places, ", "))
}

var anAddress = regexp.MustCompile(`[^\s<>]+@[^\s<>]+`)

// unaddressed leaves addresses out of what a server said: it is logged and stored.
func unaddressed(err error) error {
	return errors.New("mail: " + anAddress.ReplaceAllString(err.Error(), "(address)"))
}

// message writes the mail. Whatever is bound for a header is refused with a line
// end in it; everything foreign stands in the body only. It names all recipients, also to
// those who get it later.
func (c *Channel) message(m alerts.Message) (*gomail.Msg, error) {
	subject := m.Subject()
	if strings.ContainsAny(subject+m.ID, "\r\n") {
		return nil, errors.New("mail: a line end in a header")
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From(c.o.From); err != nil {
		return nil, fmt.Errorf("mail: from: %w", err)
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
