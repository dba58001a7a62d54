package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/providers"
)

// account looks at one account at its provider.
func (c *checkup) account(ctx context.Context, a config.Account, account *providers.Account) {
	if !c.credentials(ctx, a, account) {
		return
	}
	c.lists(ctx, a, account)
	registrar, can := account.Registrar()
	if !can || !c.Config.Layers.Webhook {
		return
	}
	var list []providers.Endpoint
	err := c.bounded(ctx, "webhooks of "+a.Name, func(ctx context.Context) (err error) {
		list, err = registrar.Endpoints(ctx)
		return err
	})
	if err != nil {
		what, fix := Explain(err)
		if providers.ClassOf(err) == providers.Misconfigured {
			fix = "Give the key the right to read webhook endpoints, or look at the registration yourself"
		}
		c.add(groupWebhooks, "webhooks.list", a.Name, Warn, "the registrations can't be read: "+what, fix)
		return
	}
	c.endpoint(a, registrar.EndpointNeeds(), list, EndpointURL(c.Config, a, false))
	if len(a.ConnectWebhookSecrets) > 0 {
		c.endpoint(a, registrar.EndpointNeeds(), list, EndpointURL(c.Config, a, true))
	}
}

// EndpointURL is where an account's webhooks come in; connect: those of connected
// accounts.
func EndpointURL(cfg config.Config, a config.Account, connect bool) string {
	u := cfg.PublicURL + "/webhooks/" + a.Provider + "/" + a.Name
	if connect {
		u += "/connect"
	}
	return u
}

// credentials makes a cheap read. false: nothing else works either.
func (c *checkup) credentials(ctx context.Context, a config.Account, account *providers.Account) bool {
	var health providers.Health
	can := false
	before, after := c.Clock(), time.Time{}
	err := c.bounded(ctx, "credentials of "+a.Name, func(ctx context.Context) (err error) {
		health, can, err = account.Check(ctx)
		after = c.Clock()
		return err
	})
	if !can {
		return true
	}
	if err != nil {
		what, fix := Explain(err)
		c.add(groupAccounts, "credentials", a.Name, Fail, what, fix)
		return false
	}
	c.add(groupAccounts, "credentials", a.Name, OK, a.Provider+" takes them", "")
	if health.Known {
		if health.Live != (a.Mode == config.ModeLive) {
			c.add(groupAccounts, "mode", a.Name, Fail, fmt.Sprintf("it is configured as %s, and %s answers that live is %v", a.Mode, a.Provider, health.Live), "Use the key of the account's mode")
		} else {
			c.add(groupAccounts, "mode", a.Name, OK, a.Mode+", as "+a.Provider+" says", "")
		}
	}
	c.skew(groupAccounts, a.Name, a.Provider, health.Date, before, after)
	return true
}

// lists reads a little of each list that the reconciler walks: credentials may be good and
// yet lack the right to one of them. A restricted key of Stripe's has each right by itself,
// and an app at PayPal has no transaction search until somebody selects it (Stripe docs:
// restricted API keys; PayPal docs: Transaction Search integration guide).
func (c *checkup) lists(ctx context.Context, a config.Account, account *providers.Account) {
	names, readable := account.Lists(), 0
	for _, name := range names {
		err := c.bounded(ctx, name+" of "+a.Name, func(ctx context.Context) error {
			now := c.Clock()
			_, err := account.Sweep(ctx, name, now.Add(-time.Minute), now, "")
			return err
		})
		switch {
		case err == nil:
			readable++
		case providers.ClassOf(err) == providers.Misconfigured:
			what, _ := Explain(err)
			c.add(groupAccounts, "lists", a.Name, Fail, name+" can't be read: "+what, listRights(a.Provider))
		default:
			what, fix := Explain(err)
			c.add(groupAccounts, "lists", a.Name, Warn, name+" could not be read: "+what, fix)
		}
	}
	if readable == len(names) && readable > 0 {
		c.add(groupAccounts, "lists", a.Name, OK, strings.Join(names, ", ")+" can be read", "")
	}
}

// listRights is how a human gives the right to read a list.
func listRights(provider string) string {
	if provider == config.ProviderPayPal {
		return "Select the feature in the settings of the app (Transaction Search, for transactions) in PayPal's dashboard; a token that has it may take up to 9 hours"
	}
	return "Give the restricted key the right to read it, in Stripe's dashboard"
}

// Explain says what a provider's error means to an operator. Adapters' errors never
// hold a secret.
func Explain(err error) (what, fix string) {
	var e *providers.Error
	if !errors.As(err, &e) {
		return err.Error(), "Try again"
	}
	detail := fmt.Sprintf(" (HTTP %d, code %q, request %s)", e.Status, e.Code, e.RequestID)
	switch {
	case e.Class == providers.Misconfigured:
		return "the provider refuses the credentials" + detail, "Copy the key again from the provider's dashboard, of the mode that the account is configured with, and check its rights"
	case e.Class == providers.NotDone && e.Status == 0:
		return "the provider can't be reached", "Check DNS, proxy and firewall, or what api_base names: the gateway needs to reach it"
	case e.Class == providers.NotDone:
		return "the provider is too busy for us" + detail, "Try again in a minute"
	}
	return "the provider gives no clear answer" + detail, "Look at the provider's status page and try again"
}

// endpoint looks at the registration of one URL.
func (c *checkup) endpoint(a config.Account, needs providers.EndpointNeeds, list []providers.Endpoint, url string) {
	const register = "Run trifecta webhooks register --config FILE"
	var ours []providers.Endpoint
	for _, e := range list {
		if e.URL == url {
			ours = append(ours, e)
		}
	}
	usable := slices.DeleteFunc(slices.Clone(ours), func(e providers.Endpoint) bool { return !e.Enabled })
	switch {
	case len(ours) == 0:
		c.add(groupWebhooks, "webhooks.registered", a.Name, Fail, fmt.Sprintf("%s is not registered at %s: no webhook will come", url, a.Provider), register)
		return
	case len(usable) == 0:
		c.add(groupWebhooks, "webhooks.enabled", a.Name, Fail, fmt.Sprintf("%s is registered (%s) and switched off", url, ours[0].ID), register+", or switch it on in the dashboard")
		return
	case len(usable) > 1:
		c.add(groupWebhooks, "webhooks.once", a.Name, Warn, fmt.Sprintf("%s is registered %d times (%s): every event comes as often", url, len(usable), ids(usable)), "Remove the ones whose secret is not configured any more")
	}
	before := c.report.Failures
	standIn := a.Provider == config.ProviderPayPal && a.APIBase != ""
	if standIn && len(a.WebhookCertHosts) == 0 {
		c.add(groupWebhooks, "webhooks.certificate", a.Name, Warn, "its api_base is not PayPal's, and no host of a stand-in may serve certificates: webhooks signed by one will be refused", "Set webhook_cert_hosts and webhook_root_ca, as docs/sandbox.md says")
	} else if standIn && a.WebhookRootCA == "" {
		c.add(groupWebhooks, "webhooks.certificate", a.Name, Warn, "its api_base is not PayPal's, and no certificate of a stand-in is trusted: each webhook costs a call that asks about it", "Set webhook_root_ca, as docs/sandbox.md says")
	}
	c.version(a, needs, usable)
	c.events(a, needs, usable)
	if a.Provider == config.ProviderPayPal {
		known := func(e providers.Endpoint) bool { return slices.Contains(a.WebhookIDs, e.ID) }
		if !slices.ContainsFunc(usable, known) {
			c.add(groupWebhooks, "webhooks.id", a.Name, Fail, fmt.Sprintf("%s is registered as %s, and webhook_ids has another id: every delivery will be refused", url, ids(usable)), "Set webhook_ids to "+ids(usable))
		}
	}
	if c.report.Failures == before {
		c.add(groupWebhooks, "webhooks.registered", a.Name, OK, fmt.Sprintf("%s is registered as %s, with every event we need", url, ids(usable)), "")
	}
}

func (c *checkup) version(a config.Account, needs providers.EndpointNeeds, usable []providers.Endpoint) {
	if needs.Version == "" || slices.ContainsFunc(usable, func(e providers.Endpoint) bool { return e.Version == needs.Version }) {
		return
	}
	have := usable[0].Version
	if have == "" {
		have = "the account's default"
	}
	c.add(groupWebhooks, "webhooks.version", a.Name, Fail, fmt.Sprintf("%s sends API version %s, we read %s", usable[0].ID, have, needs.Version),
		"A version can't be changed: run trifecta webhooks register --config FILE, add the new secret, then remove "+usable[0].ID)
}

func (c *checkup) events(a config.Account, needs providers.EndpointNeeds, usable []providers.Endpoint) {
	var missing []string
	for i, e := range usable {
		if m := needs.Missing(e); i == 0 || len(m) < len(missing) {
			missing = m
		}
	}
	if len(missing) > 0 {
		c.add(groupWebhooks, "webhooks.events", a.Name, Fail, fmt.Sprintf("%d events that we need are not sent: %s", len(missing), strings.Join(missing, ", ")), "Run trifecta webhooks register --config FILE, or add them in the dashboard")
	}
}

func ids(list []providers.Endpoint) string {
	out := make([]string, 0, len(list))
	for _, e := range list {
		out = append(out, e.ID)
	}
	return strings.Join(out, ", ")
}
