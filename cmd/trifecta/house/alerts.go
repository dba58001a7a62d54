package house

import (
	"crypto/rand"
	"fmt"
	"net/url"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/alerts/mail"
	"github.com/trifecta-pay/trifecta/gateway/alerts/slack"
	"github.com/trifecta-pay/trifecta/gateway/alerts/webhook"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/egress"
)

// Dispatcher makes what tells admins of alerts. kept may be nil where nothing is
// to be stored, as in a test of the channels.
func Dispatcher(o Options, kept *store.Alerts, sent func(channel, result string)) (*alerts.Dispatcher, error) {
	channels, err := alertChannels(o)
	if err != nil {
		return nil, err
	}
	d, err := alerts.New(alerts.Options{
		Store: kept, Rules: alertRules(o.Config.Alerts), Channels: channels, Clock: o.Clock, Owner: rand.Text(),
		PublicURL: o.Config.PublicURL, Logger: o.Logger, Sent: sent,
	})
	if err != nil {
		return nil, fmt.Errorf("wire alerts: %w", err)
	}
	return d, nil
}

// alertChannels makes a channel for each configured one.
func alertChannels(o Options) (map[string]alerts.Channel, error) {
	out := map[string]alerts.Channel{}
	var own []string
	if u, err := url.Parse(o.Config.PublicURL); err == nil {
		own = append(own, u.Hostname())
	}
	client, err := egress.New(egress.Options{AllowPrivate: o.Config.Alerts.AllowPrivate, Live: o.Config.Live(), RefuseHosts: refusable(own, o.Config.Alerts.AllowPrivate)})
	if err != nil {
		return nil, fmt.Errorf("alerts: %w", err)
	}
	for _, c := range o.Config.Alerts.Channels {
		var made alerts.Channel
		var err error
		switch c.Type {
		case config.ChannelEmail:
			made, err = mail.New(mail.Options{
				Host: c.SMTPHost, Port: c.SMTPPort, TLS: c.SMTPTLS, User: c.SMTPUser, Password: c.SMTPPassword.Reveal(), From: c.From, To: c.To,
			})
		case config.ChannelSlack:
			made, err = slack.New(slack.Options{URL: c.URL.Reveal(), Client: client})
		case config.ChannelWebhook:
			made, err = webhook.New(webhook.Options{URL: c.URL.Reveal(), Secret: c.Secret.Reveal(), Client: client, Clock: o.Wall})
		default:
			err = fmt.Errorf("unknown type %q", c.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("alert channel %s: %w", c.Name, err)
		}
		out[c.Name] = made
	}
	return out, nil
}

// refusable is our own host, unless everything runs on this one machine.
func refusable(own []string, private bool) []string {
	if private {
		return nil
	}
	return own
}

func alertRules(c config.Alerts) alerts.Rules {
	r := alerts.Rules{
		Burst: c.Burst, DigestEvery: c.DigestEvery,
		Quiet: alerts.Quiet{From: c.QuietHours.From, To: c.QuietHours.To, Zone: c.QuietHours.Zone},
	}
	for _, route := range c.Routes {
		r.Routes = append(r.Routes, alerts.Route(route))
	}
	if len(r.Routes) == 0 && len(c.Channels) > 0 {
		all := alerts.Route{MinSeverity: alerts.Warning}
		for _, ch := range c.Channels {
			all.Channels = append(all.Channels, ch.Name)
		}
		r.Routes = append(r.Routes, all)
	}
	for _, e := range c.Escalations {
		r.Escalations = append(r.Escalations, alerts.Escalation(e))
	}
	return r
}

// tellAdmins wires the workers that raise alerts about the house itself, and
// those that bring alerts to people.
func (h *House) tellAdmins(o Options, kept *store.Alerts) error {
	h.workers = append(h.workers, Worker{Name: "watch", Step: h.metrics.watch.Step})
	d, err := Dispatcher(o, kept, h.metrics.alertSent)
	if err != nil {
		return err
	}
	for _, s := range d.Steps() { // without a channel too: snoozes end
		h.workers = append(h.workers, Worker{Name: s.Name, Step: s.Run})
	}
	return nil
}
