package slack_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/alerts/slack"
	"github.com/trifecta-pay/trifecta/webhooks/egress"
)

func serve(t *testing.T, h http.HandlerFunc) *slack.Channel {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	client, err := egress.New(egress.Options{AllowPrivate: true, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c, err := slack.New(slack.Options{URL: server.URL + "/services/T0/B0/secret", Client: client})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func message(text string) alerts.Message {
	return alerts.Message{
		ID: "ntc_1", Kind: "late_money", Severity: "critical", Reason: "new", Title: "Money " + text, At: time.Unix(0, 0),
		Happened: text, Means: text, Do: text, Facts: []alerts.Fact{{Name: text, Value: text}},
		Links: []alerts.Link{{Text: text, URL: "https://pay.example/v1/payments/p|<" + text}},
		Lines: []alerts.Line{{Severity: text, Title: text, Count: 3, Examples: []string{text}}},
	}
}

// Guards L3: nobody is mentioned and no link is hidden, whatever foreign text says; and the message keeps Slack's limits.
func TestL3ForeignText(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{
		"<!channel> <!here> <@U123> <!subteam^S1> <http://evil|your bank> & </>", "*bold* @channel http://evil.example", strings.Repeat("<&>", 4000),
	} {
		var raw []byte
		c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			raw, _ = io.ReadAll(r.Body)
		})
		if err := c.Send(t.Context(), message(evil)); err != nil {
			t.Fatal(err)
		}
		var p struct {
			Text      string `json:"text"`
			LinkNames bool   `json:"link_names"`
			Blocks    []struct {
				Type     string                        `json:"type"`
				Text     *struct{ Type, Text string }  `json:"text"`
				Elements []struct{ Type, Text string } `json:"elements"`
				Verbatim bool                          `json:"verbatim"`
			} `json:"blocks"`
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		if p.LinkNames || len(p.Blocks) > 50 {
			t.Errorf("link_names %v, %d blocks", p.LinkNames, len(p.Blocks))
		}
		texts := []string{p.Text}
		for _, b := range p.Blocks {
			if b.Text != nil && b.Text.Type == "mrkdwn" {
				texts = append(texts, b.Text.Text)
			}
			if b.Type == "header" && (b.Text.Type != "plain_text" || len([]rune(b.Text.Text)) > 150) {
				t.Errorf("header %+v", b.Text)
			}
			for _, e := range b.Elements {
				texts = append(texts, e.Text)
			}
		}
		for _, text := range texts {
			if len([]rune(text)) > 3000 {
				t.Errorf("a text of %d characters", len([]rune(text)))
			}
			// What is left of < and > are our own links.
			if rest := strings.ReplaceAll(text, "<https://pay.example/", ""); strings.Contains(rest, "<") || strings.Count(text, ">") > strings.Count(text, "<https://pay.example/") {
				t.Errorf("%q", text)
			}
		}
	}
}

// Guards what Slack's answers mean: too many is waited for as long as it says, a bad message is the message's fault, and
// everything else is the channel's. No error names the secret URL.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     int
		retryAfter string
		permanent  bool
		wait       time.Duration
	}{
		{http.StatusTooManyRequests, "30", false, 30 * time.Second},
		{http.StatusTooManyRequests, "999999999", false, 24 * time.Hour},
		{http.StatusTooManyRequests, "-5", false, 0},
		{http.StatusBadRequest, "", true, 0},
		{http.StatusForbidden, "", false, 0},
		{http.StatusGone, "", false, 0},
		{http.StatusFound, "", false, 0},
		{http.StatusInternalServerError, "", false, 0},
	} {
		ch := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", c.retryAfter)
			w.Header().Set("Location", "http://169.254.169.254/")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte("no\r\nway to " + r.URL.Path))
		})
		err := ch.Send(t.Context(), message("x"))
		var f alerts.Failure
		if !errors.As(err, &f) || f.Permanent != c.permanent || f.RetryAfter != c.wait || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%d: %v, %+v", c.status, err, f)
		}
	}
	gone := serve(t, func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	err := gone.Send(t.Context(), message("x"))
	if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("a broken connection: %v", err)
	}
	client, err := egress.New(egress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"", "http://hooks.slack.com/x", "https://10.0.0.1/x"} {
		if _, err := slack.New(slack.Options{URL: u, Client: client}); err == nil {
			t.Errorf("accepted %q", u)
		}
	}
	if _, err := slack.New(slack.Options{URL: "https://hooks.slack.com/x"}); err == nil {
		t.Error("accepted without a client")
	}
}
