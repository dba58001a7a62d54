package config

import (
	"fmt"
	"net/mail"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // quiet hours have a time zone, and a container may know none
)

// Types of alert channels.
const (
	ChannelEmail   = "email"
	ChannelSlack   = "slack"
	ChannelWebhook = "webhook"
)

// Alerts says who is told of alerts. Without a channel they are records only.
type Alerts struct {
	Channels []AlertChannel
	// Routes: an alert goes to the channels of every route it matches. None given:
	// warnings and worse go to all channels.
	Routes []AlertRoute
	// Escalations tell further channels of what nobody has seen to.
	Escalations []AlertEscalation
	QuietHours  QuietHours
	// DigestEvery is how long what is held back is collected; 0 is the default, 30 min.
	DigestEvery time.Duration
	// Burst is how many messages of its own one kind may have in one channel an
	// hour; 0 is the default, 5.
	Burst int
	// AllowPrivate lets Slack and webhook channels call this machine and private
	// networks, by http too. Refused beside anything live.
	AllowPrivate bool
}

// AlertChannel is one way to reach people.
type AlertChannel struct {
	Name string
	Type string // ChannelEmail, ChannelSlack or ChannelWebhook
	// SMTP, for email. SMTPPort 0 is the usual one of SMTPTLS, which is starttls
	// (default), implicit or none.
	SMTPHost     string
	SMTPPort     int
	SMTPUser     string
	SMTPPassword Secret
	SMTPTLS      string
	From         string
	To           []string
	// URL is where Slack and webhook channels post; whoever has it can post there.
	URL Secret
	// Secret signs a webhook channel's messages.
	Secret Secret
}

// AlertRoute sends alerts to channels.
type AlertRoute struct {
	Kinds       []string // patterns such as dispute_*; none: all
	MinSeverity string   // info, warning or critical; "" is info
	Channels    []string
	Failover    []string // told while one of Channels does not work
}

// AlertEscalation tells Channels of what has been open for After.
type AlertEscalation struct {
	After       time.Duration
	MinSeverity string
	Channels    []string
}

// QuietHours hold back what is not critical, from From to To, in minutes since
// midnight in Zone. Nil Zone: there are none.
type QuietHours struct {
	From, To int
	Zone     *time.Location
}

type rawAlerts struct {
	Channels     []rawAlertChannel    `yaml:"channels" envPrefix:"CHANNELS_"`
	Routes       []rawAlertRoute      `yaml:"routes" envPrefix:"ROUTES_"`
	Escalations  []rawAlertEscalation `yaml:"escalations" envPrefix:"ESCALATIONS_"`
	QuietHours   rawQuietHours        `yaml:"quiet_hours" envPrefix:"QUIET_HOURS_"`
	DigestEvery  string               `yaml:"digest_every" env:"DIGEST_EVERY"`
	Burst        string               `yaml:"burst" env:"BURST"`
	AllowPrivate bool                 `yaml:"allow_private" env:"ALLOW_PRIVATE"`
}

type rawAlertChannel struct {
	Name             string   `yaml:"name" env:"NAME"`
	Type             string   `yaml:"type" env:"TYPE"`
	SMTPHost         string   `yaml:"smtp_host" env:"SMTP_HOST"`
	SMTPPort         string   `yaml:"smtp_port" env:"SMTP_PORT"`
	SMTPUser         string   `yaml:"smtp_user" env:"SMTP_USER"`
	SMTPPassword     string   `yaml:"smtp_password" env:"SMTP_PASSWORD"`
	SMTPPasswordFile string   `yaml:"smtp_password_file" env:"SMTP_PASSWORD_FILE"`
	SMTPTLS          string   `yaml:"smtp_tls" env:"SMTP_TLS"`
	From             string   `yaml:"from" env:"FROM"`
	To               []string `yaml:"to" env:"TO"`
	URL              string   `yaml:"url" env:"URL"`
	URLFile          string   `yaml:"url_file" env:"URL_FILE"`
	Secret           string   `yaml:"secret" env:"SECRET"`
	SecretFile       string   `yaml:"secret_file" env:"SECRET_FILE"`
}

type rawAlertRoute struct {
	Kinds       []string `yaml:"kinds" env:"KINDS"`
	MinSeverity string   `yaml:"min_severity" env:"MIN_SEVERITY"`
	Channels    []string `yaml:"channels" env:"CHANNELS"`
	Failover    []string `yaml:"failover" env:"FAILOVER"`
}

type rawAlertEscalation struct {
	After       string   `yaml:"after" env:"AFTER"`
	MinSeverity string   `yaml:"min_severity" env:"MIN_SEVERITY"`
	Channels    []string `yaml:"channels" env:"CHANNELS"`
}

type rawQuietHours struct {
	From string `yaml:"from" env:"FROM"`
	To   string `yaml:"to" env:"TO"`
	Zone string `yaml:"zone" env:"ZONE"`
}

func (l *loader) alerts(r rawAlerts) Alerts {
	a := Alerts{
		QuietHours: l.quietHours(r.QuietHours), DigestEvery: l.duration("alerts.digest_every", r.DigestEvery),
		Burst: l.number("alerts.burst", r.Burst), AllowPrivate: r.AllowPrivate,
	}
	for i, c := range r.Channels {
		at := fmt.Sprintf("alerts.channels[%d].", i)
		a.Channels = append(a.Channels, AlertChannel{
			Name: c.Name, Type: c.Type, SMTPHost: c.SMTPHost, SMTPPort: l.number(at+"smtp_port", c.SMTPPort), SMTPUser: c.SMTPUser,
			SMTPPassword: l.secret(at+"smtp_password", c.SMTPPassword, at+"smtp_password_file", c.SMTPPasswordFile),
			SMTPTLS:      c.SMTPTLS, From: c.From, To: c.To,
			URL:    l.secret(at+"url", c.URL, at+"url_file", c.URLFile),
			Secret: l.secret(at+"secret", c.Secret, at+"secret_file", c.SecretFile),
		})
	}
	for _, route := range r.Routes {
		a.Routes = append(a.Routes, AlertRoute(route))
	}
	for i, e := range r.Escalations {
		a.Escalations = append(a.Escalations, AlertEscalation{
			After: l.duration(fmt.Sprintf("alerts.escalations[%d].after", i), e.After), MinSeverity: e.MinSeverity, Channels: e.Channels,
		})
	}
	return a
}

func (l *loader) duration(at, s string) time.Duration {
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		l.faults.add(at, "is not a duration", "Write it like 30m or 1h30m")
	}
	return d
}

func (l *loader) number(at, s string) int {
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		l.faults.add(at, "is not a whole number", "Write digits only")
	}
	return n
}

var clockTime = regexp.MustCompile(`^([01]?\d|2[0-3]):([0-5]\d)$`)

func (l *loader) quietHours(r rawQuietHours) QuietHours {
	if r == (rawQuietHours{}) {
		return QuietHours{}
	}
	minutes := func(at, s string) int {
		m := clockTime.FindStringSubmatch(s)
		if m == nil {
			l.faults.add(at, "is not a time of day", `Write it like "22:00", in quotes`)
			return 0
		}
		return l.number(at, m[1])*60 + l.number(at, m[2])
	}
	q := QuietHours{From: minutes("alerts.quiet_hours.from", r.From), To: minutes("alerts.quiet_hours.to", r.To)}
	zone, err := time.LoadLocation(r.Zone)
	if r.Zone == "" || r.Zone == "Local" || err != nil {
		l.faults.add("alerts.quiet_hours.zone", "is not a time zone", "Write it like Europe/Berlin, or UTC")
		return QuietHours{}
	}
	q.Zone = zone
	return q
}

// alerts checks that what is configured can reach somebody, and that every rule
// names a channel.
func (v *validator) alerts() {
	a := v.cfg.Alerts
	if a.AllowPrivate && v.cfg.Live() {
		v.add("alerts.allow_private", "is set beside a live account or app", "Remove it: it lets alerts be sent into private networks")
	}
	if a.DigestEvery < 0 || a.DigestEvery > 24*time.Hour || a.DigestEvery > 0 && a.DigestEvery < time.Minute {
		v.add("alerts.digest_every", "is not between 1m and 24h", "Leave it out for 30m")
	}
	if a.Burst < 0 || a.Burst > 100 {
		v.add("alerts.burst", "is not between 1 and 100", "Leave it out for 5")
	}
	if a.QuietHours.Zone != nil && a.QuietHours.From == a.QuietHours.To {
		v.add("alerts.quiet_hours", "begin when they end", "Give two different times, or leave them out")
	}
	var names []string
	for i, c := range a.Channels {
		at := fmt.Sprintf("alerts.channels[%d].", i)
		switch {
		case !namePattern.MatchString(c.Name):
			v.add(at+"name", "is not 1 to 40 of a-z, 0-9 and -", "Give every channel a short name; its queue is kept under it")
		case slices.Contains(names, c.Name):
			v.add(at+"name", fmt.Sprintf("%q is the name of another channel", c.Name), "Give each channel a name of its own")
		}
		names = append(names, c.Name)
		v.alertChannel(at, c)
	}
	for i, r := range a.Routes {
		at := fmt.Sprintf("alerts.routes[%d].", i)
		v.alertRule(at, r.MinSeverity, r.Channels, r.Failover, names)
		for j, k := range r.Kinds {
			if _, err := path.Match(k, ""); err != nil || k == "" {
				v.add(fmt.Sprintf("%skinds[%d]", at, j), "is not a pattern", "Write a kind such as late_money, or a pattern such as dispute_*")
			}
		}
	}
	for i, e := range a.Escalations {
		at := fmt.Sprintf("alerts.escalations[%d].", i)
		v.alertRule(at, e.MinSeverity, e.Channels, nil, names)
		if e.After < time.Minute || e.After > 7*24*time.Hour {
			v.add(at+"after", "is not between 1m and 168h", "Write it like 30m")
		}
	}
}

func (v *validator) alertRule(at, severity string, channels, failover, names []string) {
	if !slices.Contains([]string{"", "info", "warning", "critical"}, severity) {
		v.add(at+"min_severity", "is none of info, warning, critical", "Write one of them, or leave it out for all")
	}
	if len(channels) == 0 {
		v.add(at+"channels", "is missing", "Name at least one channel")
	}
	for _, list := range []struct {
		key  string
		list []string
	}{{"channels", channels}, {"failover", failover}} {
		for i, c := range list.list {
			if !slices.Contains(names, c) {
				v.add(fmt.Sprintf("%s%s[%d]", at, list.key, i), fmt.Sprintf("%q is not a channel", c), "Name one of alerts.channels")
			}
		}
	}
}

func (v *validator) alertChannel(at string, c AlertChannel) {
	mail := c.SMTPHost != "" || c.SMTPPort != 0 || c.SMTPUser != "" || !c.SMTPPassword.IsZero() || c.SMTPTLS != "" || c.From != "" || len(c.To) > 0
	switch c.Type {
	case ChannelEmail:
		v.emailChannel(at, c)
		if !c.URL.IsZero() || !c.Secret.IsZero() {
			v.add(at+"url", "and secret do not belong to an email channel", "Remove them")
		}
		return
	case ChannelSlack, ChannelWebhook:
	default:
		v.add(at+"type", "is none of email, slack, webhook", "Write one of them")
		return
	}
	if mail {
		v.add(at+"smtp_host", "and the other keys of mail do not belong to this type", "Remove them, or set type: email")
	}
	v.channelURL(at+"url", c.URL.Reveal())
	switch {
	case c.Type == ChannelSlack && !c.Secret.IsZero():
		v.add(at+"secret", "does not belong to slack", "Remove it: Slack's URL is the secret")
	case c.Type == ChannelWebhook && len(c.Secret.Reveal()) < MinWebhookSecret:
		v.add(at+"secret", "is missing or too short", "Set whsec_ and the base64 of 32 random bytes: openssl rand -base64 32")
	}
}

// channelURL never quotes the URL: whoever has it can post there.
func (v *validator) channelURL(at, address string) {
	u, problem := parseBase(strings.SplitN(address, "?", 2)[0])
	switch {
	case address == "":
		v.add(at, "is missing", "Set it or %s_file", at)
	case problem != "":
		v.add(at, problem, "Write it like https://hooks.example.com/…")
	case u.Scheme != "https" && !v.cfg.Alerts.AllowPrivate:
		v.add(at, "is not https", "Use https; http is for alerts.allow_private, in test mode")
	case loopback(u.Hostname()) && !v.cfg.Alerts.AllowPrivate:
		v.add(at, "is on this machine", "Use a public host; alerts.allow_private permits others in test mode")
	}
}

func (v *validator) emailChannel(at string, c AlertChannel) {
	if problem := checkHostPort(c.SMTPHost, false); problem != "" || c.SMTPHost == "" || strings.Contains(c.SMTPHost, ":") && !isBracketedIP(c.SMTPHost) {
		v.add(at+"smtp_host", "is not a host", "Write the mail server's name; its port is smtp_port")
	}
	if c.SMTPPort < 0 || c.SMTPPort > 65535 {
		v.add(at+"smtp_port", "is not between 1 and 65535", "Leave it out for the usual one")
	}
	switch c.SMTPTLS {
	case "", "starttls", "implicit":
	case "none":
		if !loopback(c.SMTPHost) {
			v.add(at+"smtp_tls", "is none, and the server is not on this machine", "Use starttls or implicit: alerts name payments")
		}
		if !c.SMTPPassword.IsZero() {
			v.add(at+"smtp_password", "would travel in the clear", "Use smtp_tls: starttls or implicit")
		}
	default:
		v.add(at+"smtp_tls", "is none of starttls, implicit, none", "Leave it out for starttls")
	}
	if (c.SMTPUser == "") != c.SMTPPassword.IsZero() {
		v.add(at+"smtp_user", "and smtp_password go together", "Set both, or neither")
	}
	v.address(at+"from", c.From)
	if len(c.To) == 0 {
		v.add(at+"to", "is missing", "Name at least one address")
	}
	for i, to := range c.To {
		v.address(fmt.Sprintf("%sto[%d]", at, i), to)
	}
}

func (v *validator) address(at, s string) {
	if _, err := mail.ParseAddress(s); err != nil || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		v.add(at, "is not a mail address", "Write it like ops@example.com or Ops <ops@example.com>")
	}
}
