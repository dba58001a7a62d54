package doctor

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/trifecta-pay/trifecta/config"
)

// configuration looks at what the configuration says by itself.
func (c *checkup) configuration(ctx context.Context) {
	cfg := c.Config
	if c.ConfigErr == nil {
		c.add(groupConfig, "config.valid", c.File, OK, fmt.Sprintf("valid: %d accounts, %d apps, %s mode", len(cfg.Accounts), len(cfg.Apps), modeOf(cfg)), "")
	}
	c.fileMode()
	for _, name := range c.Strange {
		c.add(groupConfig, "config.variables", name, Warn, name+" sets nothing: no key of the configuration has this name", "See to its spelling, or unset it")
	}
	if len(cfg.Apps) == 0 {
		c.add(groupConfig, "apps", "", Warn, "no app is configured, so nobody can make a payment", "Add your shop under apps")
	}
	for _, l := range []struct {
		name string
		on   bool
	}{{"return", cfg.Layers.Return}, {"webhook", cfg.Layers.Webhook}, {"reconcile", cfg.Layers.Reconcile}} {
		if !l.on {
			c.add(groupConfig, "layers", l.name, Warn, "the layer "+l.name+" is switched off: one of three safety nets less", "Remove layers."+l.name+": false, unless you are testing")
		}
	}
	c.secrets()
	c.encryption()
	c.publicURL(ctx)
}

func modeOf(cfg config.Config) string {
	if cfg.Live() {
		return config.ModeLive
	}
	return config.ModeTest
}

// fileMode looks at who may read the file: it may hold secrets in the clear. (Files
// that hold one secret are refused when others may read them, by config.Load.)
func (c *checkup) fileMode() {
	if c.File == "" {
		return
	}
	info, err := os.Stat(c.File)
	if err != nil {
		c.add(groupConfig, "config.file_mode", c.File, Warn, "its mode can't be read: "+err.Error(), "Check the path")
		return
	}
	if perm := info.Mode().Perm(); perm&0o007 != 0 {
		c.add(groupConfig, "config.file_mode", c.File, Warn, fmt.Sprintf("it has mode %04o: every user of this machine may read it, and what secrets it holds", perm),
			"Run chmod 640 on it, or keep every secret in a file of its own (secret_key_file and so on)")
		return
	}
	c.add(groupConfig, "config.file_mode", c.File, OK, "only its owner and group may read it", "")
}

// secrets looks at what config.Load lets pass.
func (c *checkup) secrets() {
	for _, a := range c.Config.Accounts {
		several := max(len(a.WebhookSecrets), len(a.ConnectWebhookSecrets), len(a.WebhookIDs))
		switch {
		case several > 2:
			c.add(groupConfig, "secrets.rotation", a.Name, Warn, fmt.Sprintf("%d webhook secrets or ids are taken at once", several), "Keep two at most: the new one, and the old one until the provider has stopped using it")
		case several == 2:
			c.add(groupConfig, "secrets.rotation", a.Name, Warn, "two webhook secrets or ids are taken: a rotation is under way", "Remove the old one when the provider has stopped using it (Stripe: 24 hours at most)")
		}
		if a.Provider == config.ProviderPayPal && len(a.ClientSecret.Reveal()) < 16 && a.APIBase == "" {
			c.add(groupConfig, "secrets.length", a.Name, Warn, "client_secret is shorter than any that PayPal gives out", "Copy it again from the REST app's page")
		}
	}
}

func (c *checkup) encryption() {
	switch n := len(c.Config.Encryption.Keys); {
	case n > 1:
		c.add(groupConfig, "encryption", "", OK, fmt.Sprintf("personal data is sealed under %q; %d more keys open older records", c.Config.Encryption.Active, n-1), "")
	case n == 1:
		c.add(groupConfig, "encryption", "", OK, fmt.Sprintf("personal data is sealed under %q", c.Config.Encryption.Active), "")
	case c.Config.Live():
		c.add(groupConfig, "encryption", "", Warn, "live, and personal data is stored in the clear, because allow_plaintext_live is set", "Add encryption.keys, or make sure that the disks are encrypted")
	default:
		c.add(groupConfig, "encryption", "", OK, "no encryption keys, which test mode allows", "")
	}
}

// publicURL asks whether it leads here, and whether providers can come by it.
func (c *checkup) publicURL(ctx context.Context) {
	u, err := url.Parse(c.Config.PublicURL)
	if err != nil { // config.Load has parsed it
		c.add(groupConfig, "public_url", c.Config.PublicURL, Fail, err.Error(), "Write an absolute URL")
		return
	}
	if real := realAccount(c.Config); real != "" && loopback(u.Hostname()) {
		c.add(groupConfig, "public_url.reach", c.Config.PublicURL, Warn, "it is this machine itself, so webhooks of "+real+" can't arrive: payments are found by the customer's return and by reconciling only",
			"For webhooks on a developer's machine use a tunnel, and set public_url to its https address")
	}
	status := 0
	err = c.bounded(ctx, "public_url", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Config.PublicURL+"/openapi.json", nil)
		if err != nil {
			return err
		}
		resp, err := c.Client.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // only the status counts
		status = resp.StatusCode
		return resp.Body.Close()
	})
	switch {
	case err != nil:
		c.add(groupConfig, "public_url", c.Config.PublicURL, Warn, "nobody answers there: "+err.Error(), "If the server is not running yet, run this again when it is. Otherwise check DNS, certificate, proxy and firewall")
	case status != http.StatusOK:
		c.add(groupConfig, "public_url", c.Config.PublicURL, Warn, fmt.Sprintf("somebody else answers there (%d to GET /openapi.json)", status), "Let the proxy pass every path on to http.addr unchanged")
	default:
		c.add(groupConfig, "public_url", c.Config.PublicURL, OK, "the gateway answers there", "")
	}
}

// realAccount names an account at a provider itself, not at a sandbox of ours.
func realAccount(cfg config.Config) string {
	for _, a := range cfg.Accounts {
		if a.APIBase == "" {
			return a.Name
		}
	}
	return ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
