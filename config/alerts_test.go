package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const withAlerts = stripeTest + `alerts:
  channels:
    - {name: ops, type: email, smtp_host: smtp.example.com, smtp_user: u, smtp_password: canary-smtp, from: "T <t@pay.example>", to: [ops@shop.example]}
    - {name: chat, type: slack, url: "https://hooks.slack.com/services/canary-slack"}
    - {name: pager, type: webhook, url: "https://pager.example/x?y=1", secret: whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5}
  routes:
    - {kinds: ["dispute_*"], min_severity: warning, channels: [ops], failover: [chat]}
  escalations:
    - {after: 30m, min_severity: critical, channels: [pager]}
  quiet_hours: {from: "22:00", to: "07:30", zone: Europe/Berlin}
  digest_every: 1h
  burst: 3
`

// Promise: what is said about alerts is what the program gets, from the file, the environment and secret files.
func TestAlerts(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, withAlerts, "TRIFECTA_ALERTS_CHANNELS_0_SMTP_HOST=mail.example.com", "TRIFECTA_ALERTS_BURST=7", "TRIFECTA_ACCOUNTS_0_SECRET_EXPIRES=2027-03-31", "TRIFECTA_ACCOUNTS_0_IGNORE_FOREIGN=true")
	if err != nil {
		t.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	want := Alerts{
		Channels: []AlertChannel{
			{Name: "ops", Type: "email", SMTPHost: "mail.example.com", SMTPUser: "u", SMTPPassword: NewSecret("canary-smtp"), From: "T <t@pay.example>", To: []string{"ops@shop.example"}},
			{Name: "chat", Type: "slack", URL: NewSecret("https://hooks.slack.com/services/canary-slack")},
			{Name: "pager", Type: "webhook", URL: NewSecret("https://pager.example/x?y=1"), Secret: NewSecret("whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5")},
		},
		Routes:      []AlertRoute{{Kinds: []string{"dispute_*"}, MinSeverity: "warning", Channels: []string{"ops"}, Failover: []string{"chat"}}},
		Escalations: []AlertEscalation{{After: 30 * time.Minute, MinSeverity: "critical", Channels: []string{"pager"}}},
		QuietHours:  QuietHours{From: 22 * 60, To: 7*60 + 30, Zone: berlin}, DigestEvery: time.Hour, Burst: 7,
	}
	if diff := cmp.Diff(want, cfg.Alerts, cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })); diff != "" {
		t.Errorf("alerts differ (-want +got):\n%s", diff)
	}
	if !cfg.Accounts[0].SecretExpires.Equal(time.Date(2027, 3, 31, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("expires %v", cfg.Accounts[0].SecretExpires)
	}
	if !cfg.Accounts[0].IgnoreForeign {
		t.Error("foreign money is not ignored")
	}
}

// Promise: whatever could leave an admin untold, or tell a stranger, is refused at start and named; no refusal quotes a
// secret.
func TestAlertsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, with, path string }{
		{"unknown type", "type: email", "type: pigeon", "alerts.channels[0].type"},
		{"no recipient", "to: [ops@shop.example]", "to: []", "alerts.channels[0].to"},
		{"no address", "ops@shop.example", "ops", "alerts.channels[0].to[0]"},
		{"line end in an address", "[ops@shop.example]", `["ops@shop.example\r\nBcc: x@y.example"]`, "alerts.channels[0].to[0]"},
		{"no sender", `from: "T <t@pay.example>", `, "", "alerts.channels[0].from"},
		{"host with a port", "smtp_host: smtp.example.com", `smtp_host: "smtp.example.com:25"`, "alerts.channels[0].smtp_host"},
		{"user without a password", "smtp_password: canary-smtp, ", "", "alerts.channels[0].smtp_user"},
		{"no TLS to another machine", "smtp_user: u,", "smtp_tls: none, smtp_user: u,", "alerts.channels[0].smtp_tls"},
		{"unknown TLS", "smtp_user: u,", "smtp_tls: some, smtp_user: u,", "alerts.channels[0].smtp_tls"},
		{"port out of range", "smtp_user: u,", "smtp_port: 70000, smtp_user: u,", "alerts.channels[0].smtp_port"},
		{"port not a number", "smtp_user: u,", "smtp_port: smtp, smtp_user: u,", "alerts.channels[0].smtp_port"},
		{"http", "https://hooks.slack.com", "http://hooks.slack.com", "alerts.channels[1].url"},
		{"this machine", "https://hooks.slack.com", "https://localhost", "alerts.channels[1].url"},
		{"mail keys at slack", "type: slack,", "type: slack, to: [a@b.example],", "alerts.channels[1].smtp_host"},
		{"short secret", "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5", "canary", "alerts.channels[2].secret"},
		{"two of one name", "name: chat", "name: ops", "alerts.channels[1].name"},
		{"route to nobody", "channels: [ops]", "channels: [nobody]", "alerts.routes[0].channels[0]"},
		{"failover to nobody", "failover: [chat]", "failover: [nobody]", "alerts.routes[0].failover[0]"},
		{"route without a channel", "channels: [ops], ", "", "alerts.routes[0].channels"},
		{"bad pattern", `"dispute_*"`, `"dispute_["`, "alerts.routes[0].kinds[0]"},
		{"unknown severity", "min_severity: warning", "min_severity: loud", "alerts.routes[0].min_severity"},
		{"escalation at once", "after: 30m", "after: 1s", "alerts.escalations[0].after"},
		{"escalation never", "after: 30m, ", "", "alerts.escalations[0].after"},
		{"no duration", "after: 30m", "after: soon", "alerts.escalations[0].after"},
		{"no time of day", `"22:00"`, `"24:00"`, "alerts.quiet_hours.from"},
		{"no zone", ", zone: Europe/Berlin", "", "alerts.quiet_hours.zone"},
		{"unknown zone", "Europe/Berlin", "Mars/Base", "alerts.quiet_hours.zone"},
		{"always quiet", `"07:30"`, `"22:00"`, "alerts.quiet_hours"},
		{"burst", "burst: 3", "burst: 1000", "alerts.burst"},
		{"digest", "digest_every: 1h", "digest_every: 48h", "alerts.digest_every"},
		{"unknown key", "burst: 3", "bursts: 3", "alerts.bursts"},
		{"expiry", "mode: test", "mode: test\n    secret_expires: soon", "accounts[0].secret_expires"},
	} {
		text := strings.Replace(withAlerts, c.old, c.with, 1)
		if text == withAlerts {
			t.Errorf("%s: the case changes nothing", c.name)
			continue
		}
		_, err := load(t, text)
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		paths, message := faultsOf(t, err)
		if !slices.Contains(paths, c.path) || strings.Contains(message, "canary") {
			t.Errorf("%s: faults at %v: %s", c.name, paths, message)
		}
	}
	live := allLive + "alerts: {allow_private: true}\n"
	if paths, _ := faultsOf(t, func() error { _, err := load(t, live); return err }()); !slices.Contains(paths, "alerts.allow_private") {
		t.Errorf("private addresses beside a live account: %v", paths)
	}
	if _, err := load(t, withAlerts, "TRIFECTA_ALERTS_CHANNELS_0_SMTP_HOSTS=x"); err == nil {
		t.Error("a misspelt variable was accepted")
	}
}
