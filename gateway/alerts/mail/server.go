package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// outcome is what came of a mail for one recipient.
type outcome int

const (
	waiting outcome = iota // not offered yet
	taken
	refused // for good
	putOff  // may be offered again later
	unknown // the server had all of it, and did not say what it did with it
	barred  // the server refused our sender for good, which is about nobody in particular
)

// person is one recipient.
type person struct {
	place int // in the configuration, from 1
	rcpt  string
	mark  string
	got   outcome
	err   error
}

// settle notes what a server answered, or that it did not.
func (p *person) settle(err error) {
	switch n := code(err); {
	case err == nil:
		p.got = taken
	case n >= 500 && n <= 599:
		p.got = refused
	default:
		p.got = putOff
	}
	p.err = err
}

// code is what the server answered, zero where it did not.
func code(err error) int {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return answer.Code
	}
	return 0
}

const (
	// connections is on how many a mail to all is tried: a server that hangs or hangs up over
	// one recipient may take the others.
	connections = 3
	// answerTime is what an answer to a text deserves: servers look through it first.
	answerTime = 10 * time.Second
)

// errWhole says that the server refused a text to several for good, whoever it was because of.
var errWhole = errors.New("refused as a whole")

// offer gives the mail to the server: once for all, and by itself to each where the server
// refuses that. It returns trouble of the server that is about nobody in particular.
func (c *Channel) offer(ctx context.Context, msg *gomail.Msg, people []*person) error {
	for range connections {
		left := those(people, waiting)
		if len(left) == 0 {
			return nil
		}
		err := c.transact(ctx, msg, left)
		if errors.Is(err, errWhole) {
			return c.each(ctx, msg, those(people, waiting))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// each offers the mail to one after the other, as long as there is time for an answer.
func (c *Channel) each(ctx context.Context, msg *gomail.Msg, people []*person) error {
	for i, p := range people {
		left := patience(ctx)
		if i > 0 && left < answerTime {
			return nil
		}
		limited, cancel := context.WithTimeout(ctx, max(answerTime, left/time.Duration(len(people)-i)))
		err := c.transact(limited, msg, []*person{p})
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// unbar settles those for whom our sender was refused. Where others have the mail, it is the
// server that changed its mind, or has a quota: they get it once that is mended. Where nobody
// has it, the server refuses this mail.
func unbar(people []*person, had bool) {
	had = had || len(those(people, taken)) > 0
	for _, p := range those(people, barred) {
		if p.got = refused; had {
			p.got = putOff
		}
	}
}

func those(people []*person, got outcome) (out []*person) {
	for _, p := range people {
		if p.got == got {
			out = append(out, p)
		}
	}
	return out
}

// transact is one connection with one mail on it. To be ready, and to answer for all
// recipients, the server may each time take half of the time that is left: the rest is for
// the answer to the text.
func (c *Channel) transact(ctx context.Context, msg *gomail.Msg, people []*person) error {
	var line line
	defer line.close()
	if err := ctx.Err(); err != nil {
		return err
	}
	client, err := gomail.NewClient(c.o.Host, append(c.options(line.hold), gomail.WithTimeout(patience(ctx)/2))...)
	if err != nil {
		return err
	}
	// The library forgets a connection that breaks in the greeting, and looks at
	// the context only while it dials.
	defer context.AfterFunc(ctx, line.close)()
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is left to be said on it
	if err := conn.UpdateDeadline(patience(ctx) / 2); err != nil {
		return err
	}
	if err := conn.Mail(c.from); err != nil {
		if n := code(err); n < 500 || n > 599 {
			return err
		}
		for _, p := range people {
			p.got, p.err = barred, err
		}
		bye(conn)
		return nil
	}
	accepted, whole := recipients(conn, people)
	if !whole {
		return nil
	}
	if len(accepted) > 0 {
		if err := conn.UpdateDeadline(patience(ctx)); err != nil {
			return err
		}
		if err := data(conn, msg, accepted); err != nil {
			return err
		}
	}
	bye(conn)
	return nil
}

// recipients asks for each. It ends where the connection does, over one of them: the others
// wait for another one.
func recipients(conn *smtp.Client, people []*person) (accepted []*person, whole bool) {
	for _, p := range people {
		err := conn.Rcpt(p.rcpt)
		if err == nil {
			accepted = append(accepted, p)
			continue
		}
		p.settle(err)
		if code(err) == 552 && len(accepted) > 0 { // RFC 5321, 4.5.3.1.10: it may mean that they are too many
			p.got = putOff
		}
		if code(err) == 0 || code(err) == 421 { // the server closes, says RFC 5321
			return nil, false
		}
	}
	return accepted, true
}

// data sends the text to those whom the server accepted.
func data(conn *smtp.Client, msg *gomail.Msg, people []*person) error {
	w, err := conn.Data()
	sent := false
	if err == nil {
		if _, err = msg.WriteTo(w); err == nil {
			sent = true
			err = w.Close()
		}
	}
	if n := code(err); n >= 500 && n <= 599 && len(people) > 1 {
		return fmt.Errorf("%w: %w", errWhole, err)
	}
	for _, p := range people {
		if p.settle(err); err != nil && sent && code(err) == 0 {
			p.got = unknown
		}
	}
	return nil
}

// bye ends a connection. That a server does not answer any more is no failure.
func bye(conn *smtp.Client) {
	if err := conn.UpdateDeadline(time.Second); err == nil {
		_ = conn.Quit()
	}
}

// patience is how long there is for all that is left to do.
func patience(ctx context.Context) time.Duration {
	end, _ := ctx.Deadline()                      // Send sets one
	return max(time.Until(end), time.Millisecond) //nolint:forbidigo // bounds a wait on the network, decides nothing
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
