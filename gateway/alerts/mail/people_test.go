package mail_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/alerts/mail"
)

func refusal(code int) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, Message: "no such thing for <boss@shop.example>"}
}

var three = []string{"Ops <ops@shop.example>", "boss@shop.example", "night@shop.example"}

// Guards that one dead, full, disliked or slow mailbox silences nobody else of its channel, wherever it stands in the
// list: the others have the mail, once, with everybody named in it, and the channel says how many were refused it and how
// many may yet get it, without addresses.
func TestOneMailboxSilencesNobodyElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		p             *post
		missed, later int
		inbox, want   string
	}{
		{"the first is gone", &post{refuse: map[string]error{"ops@shop.example": refusal(550)}}, 1, 0, "boss night", "recipient 1 of 3 (550)"},
		{"one is full", &post{refuse: map[string]error{"boss@shop.example": refusal(452)}}, 0, 1, "night ops", "recipient 2 of 3 (452)"},
		{"the last is gone", &post{refuse: map[string]error{"night@shop.example": refusal(550)}}, 1, 0, "boss ops", "recipient 3 of 3 (550)"},
		{"two are gone", &post{refuse: map[string]error{"ops@shop.example": refusal(550), "night@shop.example": refusal(550)}}, 2, 0, "boss", "recipient 1 of 3 (550), recipient 3 of 3 (550)"},
		{"one is gone, one is full", &post{refuse: map[string]error{"ops@shop.example": refusal(450), "night@shop.example": refusal(550)}}, 1, 1, "boss", "recipient 1 of 3 (450), recipient 3 of 3 (550)"},
		{"the last are too many", &post{refuse: map[string]error{"night@shop.example": refusal(552)}}, 0, 1, "boss ops", "recipient 3 of 3 (552)"},
		{"the server hangs up over one", &post{refuse: map[string]error{"boss@shop.example": refusal(421)}}, 0, 1, "night ops", "recipient 2 of 3 (421)"},
		{"one is never answered for", &post{hang: "ops@shop.example"}, 0, 1, "boss night", "recipient 1 of 3"},
		{"the text is refused because of one", &post{dislike: map[string]error{"boss@shop.example": refusal(554)}}, 1, 0, "night ops", "recipient 2 of 3 (554)"},
		{"the text by itself is put off for one", &post{dislike: map[string]error{"boss@shop.example": refusal(451), "ops@shop.example": refusal(554)}}, 1, 1, "night", "recipient 1 of 3 (554), recipient 2 of 3 (451)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.p.over = make(chan struct{})
			channel := serve(t, c.p, mail.Plain, func(o *mail.Options) { o.To = three })
			defer close(c.p.over)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if c.p.hang != "" {
				ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
			}
			defer cancel()
			err := channel.Send(ctx, message())
			part, ok := errors.AsType[alerts.Partial](err)
			if !ok || part.Missed != c.missed || part.Later != c.later || part.Of != 3 || part.Unknown || !strings.HasSuffix(err.Error(), "mail: "+c.want) {
				t.Fatalf("%v, want %d missed, %d later: %s", err, c.missed, c.later, c.want)
			}
			if got := strings.ReplaceAll(c.p.inbox(), "@shop.example", ""); got != c.inbox || len(part.Done) != 3-c.later || strings.Contains(fmt.Sprint(err, part.Done), "@") {
				t.Errorf("in the inboxes of %s, want %s; %v is done", got, c.inbox, part.Done)
			}
			for _, raw := range c.p.got {
				h, _ := parts(t, raw)
				if list, err := h.AddressList("To"); err != nil || len(list) != 3 || h.Get("Bcc") != "" || h.Get("Message-Id") != "<ntc_0123456789abcdef@pay.example>" {
					t.Errorf("header %v, %v", h, err)
				}
			}
		})
	}
}

// Guards everybody's mail at a server that takes only one on each connection, and refuses a text to several.
func TestServerOfOneMailAConnection(t *testing.T) {
	t.Parallel()
	p := &post{single: true, dislike: map[string]error{"boss@shop.example": refusal(554)}}
	c := serve(t, p, mail.STARTTLS, func(o *mail.Options) { o.To = three })
	err := c.Send(t.Context(), message())
	if part, ok := errors.AsType[alerts.Partial](err); !ok || part.Later != 0 || len(p.got) != 2 {
		t.Errorf("%d mails went out, %v", len(p.got), err)
	}
}

// Guards many people behind a server that looks through a text for long before it takes it: all have the mail, once, on
// one connection.
func TestSlowServerTakesAMailForManyOnce(t *testing.T) {
	t.Parallel()
	p := &post{think: time.Second, over: make(chan struct{})}
	defer close(p.over)
	c := serve(t, p, mail.Plain, func(o *mail.Options) {
		o.To = nil
		for i := range 20 {
			o.To = append(o.To, fmt.Sprintf("ops%d@shop.example", i))
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := c.Send(ctx, message()); err != nil || len(p.got) != 1 || len(p.inboxes) != 20 || p.conns != 1 {
		t.Errorf("%v; %d mails for %d people on %d connections", err, len(p.got), len(p.inboxes), p.conns)
	}
}

// Guards a mail of which nobody knows whether it was taken: that is said, with no word of addresses, also when others
// were refused it.
func TestNoAnswerToTheText(t *testing.T) {
	t.Parallel()
	p := &post{think: time.Hour, over: make(chan struct{}), refuse: map[string]error{"boss@shop.example": refusal(550)}}
	c := serve(t, p, mail.Plain, func(o *mail.Options) { o.To = three })
	defer close(p.over)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var f alerts.Failure
	if err := c.Send(ctx, message()); !errors.As(err, &f) || !f.Unknown || f.Permanent || strings.Contains(err.Error(), "@") || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("%v, %+v", err, f)
	}
}

// Guards what a second try does: it offers the mail to those who lack it, and to whoever is new in the configuration;
// that they can't have it now is no trouble of the server, but that it does not work is.
func TestOnlyThoseWhoLackItGetItLater(t *testing.T) {
	t.Parallel()
	p := &post{refuse: map[string]error{"boss@shop.example": refusal(450), "night@shop.example": refusal(550)}}
	var options mail.Options
	c := serve(t, p, mail.Plain, func(o *mail.Options) { o.To = three; options = *o })
	m := message()
	part, ok := errors.AsType[alerts.Partial](c.Send(t.Context(), m))
	if !ok || part.Later != 1 {
		t.Fatalf("%+v", part)
	}
	m.Done = part.Done
	send := func() (asked string, err error) {
		p.mu.Lock()
		p.rcpts = nil
		p.mu.Unlock()
		err = c.Send(t.Context(), m)
		return strings.Join(p.rcpts, " "), err
	}
	var f alerts.Failure
	if asked, err := send(); !errors.As(err, &f) || !f.Permanent || asked != "boss@shop.example" {
		t.Errorf("still full: %v, %+v; asked for %s", err, f, asked)
	}
	p.mailErr = refusal(451)
	if _, err := send(); !errors.As(err, &f) || f.Permanent {
		t.Errorf("a server that does not work: %v, %+v", err, f)
	}
	p.mailErr, p.refuse = nil, map[string]error{"boss@shop.example": refusal(550)}
	if asked, err := send(); !errors.As(err, &part) || part.Missed != 1 || part.Later != 0 || asked != "boss@shop.example" {
		t.Errorf("gone: %v; asked for %s", err, asked)
	}
	p.refuse = nil
	options.To = append(slices.Clone(three), "new@shop.example")
	var err error
	if c, err = mail.New(options); err != nil {
		t.Fatal(err)
	}
	if asked, err := send(); err != nil || asked != "boss@shop.example new@shop.example" {
		t.Errorf("%v; asked for %s", err, asked)
	}
	if got := p.inbox(); got != "boss@shop.example new@shop.example ops@shop.example" {
		t.Errorf("in the inboxes of %s", got)
	}
	options.To = []string{"OPS@shop.example"}
	if c, err = mail.New(options); err != nil {
		t.Fatal(err)
	}
	if asked, err := send(); err != nil || asked != "" {
		t.Errorf("nobody lacks it: %v; asked for %s", err, asked)
	}
}

// Guards those who lack a mail that others have, when the server then refuses our sender for good: within the try in which
// the others got it, and in a later one. They get it once the server takes mail from us again.
func TestRefusedSenderLosesNobodyWhatOthersHave(t *testing.T) {
	t.Parallel()
	p := &post{quota: 1, dislike: map[string]error{"boss@shop.example": refusal(554)}} // so each gets it by itself
	c := serve(t, p, mail.Plain, func(o *mail.Options) { o.To = three })
	m := message()
	part, ok := errors.AsType[alerts.Partial](c.Send(t.Context(), m))
	if !ok || part.Missed != 0 || part.Later != 2 || len(part.Done) != 1 {
		t.Fatalf("within the try: %+v", part)
	}
	m.Done = part.Done
	var f alerts.Failure
	if err := c.Send(t.Context(), m); !errors.As(err, &f) || !f.Permanent || f.Unknown {
		t.Errorf("in a later try: %v, %+v", err, f)
	}
	p.quota, p.dislike = 0, nil
	if err := c.Send(t.Context(), m); err != nil || p.inbox() != "boss@shop.example night@shop.example ops@shop.example" {
		t.Errorf("%v; in the inboxes of %s", err, p.inbox())
	}
}
