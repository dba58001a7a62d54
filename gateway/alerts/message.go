package alerts

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Message is what a channel brings to people: plain text throughout, which the
// channel escapes as its medium needs. Everything is one line without control
// characters.
type Message struct {
	// ID is the same each time the same message is sent.
	ID       string
	Kind     string
	Severity string
	Reason   string // new, again, worse, escalated, failover, digest
	// Title says what it is in our own words: no provider's text, no personal data.
	Title string
	At    time.Time
	// Happened, Means and Do are the text. Happened may hold a provider's words.
	Happened, Means, Do string
	Facts               []Fact
	Links               []Link
	// Lines are what a digest lists.
	Lines []Line
	// More is how many alerts a digest counts.
	More int64
	// Done is what the Partial of an earlier try marked: who needs it no more.
	Done []string
}

// Fact is one labelled value.
type Fact struct{ Name, Value string }

// Link leads to more. URL is absolute, or a path where no public URL is known.
type Link struct{ Text, URL string }

// Line is one kind of alert in a digest.
type Line struct {
	Severity, Title string
	Count           int64
	Examples        []string // what happened, in the first of them
}

// Subject is one line for a mail's subject or a heading: our own words only.
func (m Message) Subject() string {
	s := "[Trifecta] " + m.Severity + ": " + m.Title
	switch m.Reason {
	case ReasonAgain:
		s += " (again)"
	case ReasonWorse:
		s += " (now " + m.Severity + ")"
	case ReasonEscalated:
		s += " (nobody has seen to it)"
	}
	return Clean(s, 200)
}

const maxText = 1000

func (d *Dispatcher) compose(ctx context.Context, it Item) (Message, error) {
	if it.Digest != nil {
		return d.digest(ctx, it)
	}
	a, err := d.o.Store.Get(ctx, it.Alert)
	if errors.Is(err, gateway.ErrNotFound) { // deleted by retention: what the notice says is left
		a = gateway.AlertRecord{ID: it.Alert, Kind: it.Kind, Severity: it.Severity, State: "resolved", Count: 1, FirstSeen: it.At, LastSeen: it.At}
	} else if err != nil {
		return Message{}, err
	}
	k := KindOf(a.Kind)
	m := Message{
		ID: it.ID, Kind: a.Kind, Severity: severityOf(it.Severity), Reason: it.Reason, Title: k.Title, At: it.At,
		Happened: Clean(a.Message, maxText), Means: k.Means, Do: k.Do, Links: d.links(a),
	}
	if a.Account != "" {
		m.Title += ", account " + Clean(a.Account, 40)
	}
	if a.Mode == payment.ModeTest {
		m.Title += " [test mode]"
	}
	fact := func(name, value string) {
		if value = Clean(value, 200); value != "" {
			m.Facts = append(m.Facts, Fact{name, value})
		}
	}
	fact("Kind", a.Kind)
	fact("State", stateOf(a))
	fact("App", a.App)
	fact("Account", a.Account)
	fact("Payment", a.Payment)
	fact("Dispute", a.Dispute)
	fact("First seen", a.FirstSeen.UTC().Format(time.RFC1123))
	if a.Count > 1 {
		fact("Last seen", fmt.Sprintf("%s, %d times in all", a.LastSeen.UTC().Format(time.RFC1123), a.Count))
	}
	fact("Ends by itself when", k.Resolves)
	ack := "trifecta alerts ack " + a.ID
	if d.o.PublicURL != "" {
		ack += " --server " + d.o.PublicURL
	}
	fact("Acknowledge", ack)
	return m, nil
}

func severityOf(s string) string {
	return []string{Info, Warning, Critical}[rank(s)]
}

// stateOf says how an alert stands now: it may have changed while its message
// waited.
func stateOf(a gateway.AlertRecord) string {
	if a.State == "resolved" && a.ResolvedBy == "gone" {
		return "resolved: its cause is gone"
	}
	return a.State
}

// links lead to what the alert is about.
func (d *Dispatcher) links(a gateway.AlertRecord) []Link {
	var out []Link
	add := func(text, path string) { out = append(out, Link{text, d.o.PublicURL + path}) }
	if a.Payment != "" {
		add("The payment", "/v1/payments/"+url.PathEscape(a.Payment))
		add("Its history", "/v1/payments/"+url.PathEscape(a.Payment)+"/history")
		add("Its alerts", "/v1/alerts?payment="+url.QueryEscape(a.Payment))
	}
	if a.Dispute != "" {
		add("The dispute", "/v1/disputes/"+url.PathEscape(a.Dispute))
	}
	if a.Payment == "" && a.Account != "" {
		add("Reconcile runs", "/v1/reconcile/runs")
	}
	add("Open alerts", "/v1/alerts?state=open")
	return out
}

const examplesPerLine = 5

// digest lists what was held back: counts of each kind, and the first few.
func (d *Dispatcher) digest(ctx context.Context, it Item) (Message, error) {
	m := Message{
		ID: it.ID, Kind: "digest", Severity: severityOf(it.Severity), Reason: "digest", At: it.At,
		Means: "They were held back because there were many of a kind, or because of quiet hours. Each is a record of its own.",
		Do:    "Read the open alerts, the critical ones first.",
		Links: []Link{{"Open alerts", d.o.PublicURL + "/v1/alerts?state=open"}},
	}
	for _, t := range it.Digest.Tallies {
		line := Line{Severity: severityOf(t.Severity), Title: KindOf(t.Kind).Title, Count: t.Count}
		for _, id := range t.Samples[:min(len(t.Samples), examplesPerLine)] {
			a, err := d.o.Store.Get(ctx, id)
			if err != nil && passing(ctx, err) {
				return Message{}, err
			}
			if err != nil { // deleted by retention, or can't be read: it is counted all the same
				continue
			}
			text := Clean(a.Message, 200)
			if about := Clean(a.Payment+" "+a.Account, 100); about != "" {
				text = about + ": " + text
			}
			line.Examples = append(line.Examples, text)
		}
		m.Lines = append(m.Lines, line)
		m.More += t.Count
	}
	m.Title = fmt.Sprintf("%d alerts held back", m.More)
	if m.More == 1 {
		m.Title = "1 alert held back"
	}
	m.Happened = fmt.Sprintf("%s since %s.", m.Title, it.Digest.Since.UTC().Format(time.RFC1123))
	return m, nil
}
