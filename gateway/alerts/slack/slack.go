// Package slack brings alerts to a Slack channel through an incoming webhook.
//
// It must not: let foreign text act (mention people, hide a link), wait or try
// again (gateway/alerts does), or print the webhook's URL, which is a secret.
package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/webhooks/egress"
)

// Options are what a Slack channel needs. Both are required.
type Options struct {
	URL    string // of the incoming webhook
	Client *egress.Client
}

// Channel posts messages. It is an alerts.Channel.
type Channel struct{ o Options }

var _ alerts.Channel = (*Channel)(nil)

// New checks the options.
func New(o Options) (*Channel, error) {
	if o.Client == nil {
		return nil, errors.New("slack: a client is required")
	}
	if err := o.Client.Check(o.URL); err != nil {
		return nil, fmt.Errorf("slack: the webhook's URL: %w", err)
	}
	return &Channel{o}, nil
}

// Send posts one message, in one try.
func (c *Channel) Send(ctx context.Context, m alerts.Message) error {
	body, err := json.Marshal(payload(m))
	if err != nil {
		return alerts.Failure{Permanent: true, Cause: fmt.Errorf("slack: encode: %w", err)}
	}
	answer, err := c.o.Client.Post(ctx, c.o.URL, http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil {
		return alerts.Failure{Cause: fmt.Errorf("slack: %w", err)}
	}
	if answer.Status >= 200 && answer.Status < 300 {
		return nil
	}
	f := alerts.Failure{Cause: fmt.Errorf("slack: it answered %d %s", answer.Status, reason(answer.Body))}
	// Slack docs, "Sending messages using incoming webhooks": 400 invalid_payload is
	// about the message; 403, 404 and 410 are about the channel.
	f.Permanent = answer.Status == http.StatusBadRequest
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		f.RetryAfter = time.Duration(min(seconds, 24*3600)) * time.Second
	}
	return f
}

// reason is Slack's word for a refusal, such as no_service (Slack docs, "Sending messages
// using incoming webhooks"). Any other text stays out of errors, which are kept and
// logged: what stands between us and Slack may repeat our URL in it.
func reason(body []byte) string {
	word := strings.TrimSpace(string(body))
	if word == "" || len(word) > 40 || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "without a reason of Slack's"
	}
	return word
}

type text struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim,omitempty"`
}

type block struct {
	Type     string `json:"type"`
	Text     *text  `json:"text,omitempty"`
	Elements []text `json:"elements,omitempty"`
}

type post struct {
	Text   string  `json:"text"`
	Blocks []block `json:"blocks"`
	// Links and names in text stay what they are: text.
	LinkNames   bool `json:"link_names"`
	UnfurlLinks bool `json:"unfurl_links"`
	UnfurlMedia bool `json:"unfurl_media"`
}

// Slack's limits (Block Kit reference): 150 characters of a header, 3000 of a
// section, 50 blocks. Escaping makes one character five at most.
const (
	maxHeader  = 140
	maxSection = 550
	maxLines   = 20
	maxURL     = 300
)

// escape makes foreign text inert (Slack docs, "Formatting text": these three
// characters, and no others).
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func section(label, foreign string) block {
	return block{Type: "section", Text: &text{Type: "mrkdwn", Text: "*" + label + "*\n" + escape(cut(foreign, maxSection)), Verbatim: true}}
}

func payload(m alerts.Message) post {
	p := post{Text: escape(m.Subject())}
	p.Blocks = append(p.Blocks,
		block{Type: "header", Text: &text{Type: "plain_text", Text: cut(m.Severity+": "+m.Title, maxHeader)}},
		section("What happened", m.Happened))
	for _, l := range m.Lines[:min(len(m.Lines), maxLines)] {
		lines := append([]string{fmt.Sprintf("%d × %s: %s", l.Count, l.Severity, l.Title)}, l.Examples...)
		p.Blocks = append(p.Blocks, block{Type: "section", Text: &text{Type: "mrkdwn", Text: escape(cut(strings.Join(lines, "\n• "), maxSection)), Verbatim: true}})
	}
	p.Blocks = append(p.Blocks, section("What it means", m.Means), section("What to do", m.Do))
	var links []string
	for _, l := range m.Links {
		if len(l.URL) > maxURL {
			continue
		}
		links = append(links, "<"+strings.NewReplacer("<", "%3C", ">", "%3E", "|", "%7C", "&", "&amp;").Replace(l.URL)+"|"+escape(cut(l.Text, 60))+">")
	}
	if len(links) > 0 {
		p.Blocks = append(p.Blocks, block{Type: "section", Text: &text{Type: "mrkdwn", Text: strings.Join(links, " · "), Verbatim: true}})
	}
	var facts []string
	for _, f := range m.Facts {
		facts = append(facts, f.Name+": "+f.Value)
	}
	facts = append(facts, "Message "+m.ID)
	p.Blocks = append(p.Blocks, block{Type: "context", Elements: []text{{Type: "mrkdwn", Text: escape(cut(strings.Join(facts, " · "), maxSection)), Verbatim: true}}})
	return p
}
