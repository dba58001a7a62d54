// Package mailbox is the demo's mail: a server that takes every mail, and pages
// that show what came. It keeps mails in memory, only the newest, and delivers
// nothing to anybody.
//
// It must not be part of serve: whoever reaches it reads all mail.
package mailbox

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	netmail "net/mail"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

//go:embed pages/*.html
var pages embed.FS

// Bounds of what is kept.
const (
	maxMails = 200
	maxBytes = 1 << 20
	maxDepth = 4
)

// Mail is one mail that came.
type Mail struct {
	Number     int // counted from 1
	At         time.Time
	From       string // of the envelope, as the next one
	To         []string
	Subject    string
	MessageID  string
	Text, HTML string
}

// Mailbox is an http.Handler with the pages, and a mail server to Serve.
type Mailbox struct {
	http.Handler
	clock func() time.Time
	log   *slog.Logger
	pages *template.Template
	mu    sync.Mutex
	count int
	mails []Mail // oldest first
}

// New makes an empty mailbox.
func New(clock func() time.Time, log *slog.Logger) (*Mailbox, error) {
	t, err := template.ParseFS(pages, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("mailbox: pages: %w", err)
	}
	b := &Mailbox{clock: clock, log: log, pages: t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", b.list)
	mux.HandleFunc("GET /mails/{number}", b.show)
	mux.HandleFunc("GET /mails/{number}/html", b.html)
	b.Handler = mux
	return b, nil
}

// Mails are what came, oldest first.
func (b *Mailbox) Mails() []Mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.mails)
}

// Serve takes mails at the listener until ctx ends.
func (b *Mailbox) Serve(ctx context.Context, l net.Listener) error {
	server := smtp.NewServer(b)
	server.Domain, server.MaxMessageBytes, server.MaxRecipients = "localhost", maxBytes, 50
	server.ReadTimeout, server.WriteTimeout = 30*time.Second, 30*time.Second
	server.ErrorLog = slog.NewLogLogger(b.log.Handler(), slog.LevelDebug)
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // then Serve says ErrServerClosed
	defer stop()
	if err := server.Serve(l); err != nil && !errors.Is(err, smtp.ErrServerClosed) && ctx.Err() == nil {
		return fmt.Errorf("mailbox: %w", err)
	}
	return nil
}

// NewSession begins to take a mail.
func (b *Mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{box: b}, nil }

type session struct {
	box *Mailbox
	m   Mail
}

func (s *session) Reset()        { s.m = Mail{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.m.From = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.m.To = append(s.m.To, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "this is no mail"}
	}
	s.m.At = s.box.clock()
	s.m.MessageID = m.Header.Get("Message-Id")
	if s.m.Subject, err = (&mime.WordDecoder{}).DecodeHeader(m.Header.Get("Subject")); err != nil {
		s.m.Subject = m.Header.Get("Subject")
	}
	s.m.read(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body, 0)
	s.box.add(s.m)
	return nil
}

func (b *Mailbox) add(m Mail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	m.Number = b.count
	if b.mails = append(b.mails, m); len(b.mails) > maxMails {
		b.mails = b.mails[1:]
	}
}

// read finds the plain and the HTML part. What can't be read is shown as far as
// it could be.
func (m *Mail) read(contentType, encoding string, body io.Reader, depth int) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") && depth < maxDepth {
		for r := multipart.NewReader(body, params["boundary"]); ; {
			p, err := r.NextRawPart()
			if err != nil {
				return
			}
			m.read(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p, depth+1)
		}
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		text = append(text, "\n(the rest can't be read)"...)
	}
	switch kind {
	case "text/plain":
		m.Text += string(text)
	case "text/html":
		m.HTML += string(text)
	}
}

func (b *Mailbox) list(w http.ResponseWriter, r *http.Request) {
	mails := b.Mails()
	slices.Reverse(mails)
	b.render(w, r, "list.html", map[string]any{"Mails": mails})
}

func (b *Mailbox) find(w http.ResponseWriter, r *http.Request) (Mail, bool) {
	n, err := strconv.Atoi(r.PathValue("number"))
	mails := b.Mails()
	i := slices.IndexFunc(mails, func(m Mail) bool { return m.Number == n })
	if err != nil || i < 0 {
		http.NotFound(w, r)
		return Mail{}, false
	}
	return mails[i], true
}

func (b *Mailbox) show(w http.ResponseWriter, r *http.Request) {
	if m, ok := b.find(w, r); ok {
		b.render(w, r, "mail.html", m)
	}
}

// html shows a mail's HTML part alone, as untrusted as any mail is: in a frame
// of its own origin, without scripts, forms or anything from elsewhere.
func (b *Mailbox) html(w http.ResponseWriter, r *http.Request) {
	m, ok := b.find(w, r)
	if !ok {
		return
	}
	header(w, "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'")
	_, _ = io.WriteString(w, m.HTML)
}

func header(w http.ResponseWriter, policy string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

func (b *Mailbox) render(w http.ResponseWriter, r *http.Request, page string, data any) {
	var out bytes.Buffer
	if err := b.pages.ExecuteTemplate(&out, page, data); err != nil {
		b.log.ErrorContext(r.Context(), "mailbox page failed", "page", page, "error", err)
		http.Error(w, "This page could not be shown.", http.StatusInternalServerError)
		return
	}
	header(w, "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	_, _ = w.Write(out.Bytes()) // the reader is gone: nobody to tell
}
