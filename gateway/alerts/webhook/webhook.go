// Package webhook brings alerts to any HTTPS endpoint as signed JSON (Standard
// Webhooks 1.0), for systems that page people.
//
// It must not: wait or try again (gateway/alerts does), or print its URL and
// secret.
package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/webhooks/egress"
)

// Options are what a webhook channel needs. All are required.
type Options struct {
	URL    string
	Secret string // whsec_… ; see egress.Key
	Client *egress.Client
	Clock  func() time.Time // the machine's: receivers compare it with theirs
}

// Channel posts messages. It is an alerts.Channel.
type Channel struct {
	o   Options
	key []byte
}

var _ alerts.Channel = (*Channel)(nil)

// New checks the options.
func New(o Options) (*Channel, error) {
	if o.Client == nil || o.Clock == nil {
		return nil, errors.New("webhook: a client and a clock are required")
	}
	if err := o.Client.Check(o.URL); err != nil {
		return nil, fmt.Errorf("webhook: the URL: %w", err)
	}
	key, err := egress.Key(o.Secret)
	if err != nil {
		return nil, err
	}
	return &Channel{o, key}, nil
}

type body struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	Kind     string            `json:"kind"`
	Severity string            `json:"severity"`
	Reason   string            `json:"reason"`
	Title    string            `json:"title"`
	Happened string            `json:"happened"`
	Means    string            `json:"means"`
	Do       string            `json:"do"`
	Facts    map[string]string `json:"facts"`
	Links    []link            `json:"links"`
	Lines    []line            `json:"lines,omitempty"`
}

type link struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

type line struct {
	Severity string   `json:"severity"`
	Title    string   `json:"title"`
	Count    int64    `json:"count"`
	Examples []string `json:"examples"`
}

// Send posts one message, in one try. 2xx is taken; nothing else is.
func (c *Channel) Send(ctx context.Context, m alerts.Message) error {
	b := body{Type: "alert", Timestamp: m.At.UTC(), Data: data{
		Kind: m.Kind, Severity: m.Severity, Reason: m.Reason, Title: m.Title, Happened: m.Happened, Means: m.Means, Do: m.Do,
		Facts: map[string]string{}, Links: []link{},
	}}
	if m.Reason == "digest" {
		b.Type = "alert.digest"
	}
	for _, f := range m.Facts {
		b.Data.Facts[f.Name] = f.Value
	}
	for _, l := range m.Links {
		b.Data.Links = append(b.Data.Links, link(l))
	}
	for _, l := range m.Lines {
		b.Data.Lines = append(b.Data.Lines, line(l))
	}
	raw, err := json.Marshal(b)
	if err != nil {
		return alerts.Failure{Permanent: true, Cause: fmt.Errorf("webhook: encode: %w", err)}
	}
	header := egress.Sign(m.ID, c.o.Clock(), raw, c.key)
	header.Set("Content-Type", "application/json")
	answer, err := c.o.Client.Post(ctx, c.o.URL, header, raw)
	if err != nil {
		return alerts.Failure{Cause: fmt.Errorf("webhook: %w", err)}
	}
	if answer.Status >= 200 && answer.Status < 300 {
		return nil
	}
	f := alerts.Failure{Cause: fmt.Errorf("webhook: it answered %d", answer.Status)}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		f.RetryAfter = time.Duration(min(seconds, 24*3600)) * time.Second
	}
	return f
}
