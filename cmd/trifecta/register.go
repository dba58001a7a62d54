package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/doctor"
	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/providers"
)

func (p program) webhooksRegister() *cobra.Command {
	var file, only string
	cmd := &cobra.Command{
		Use:   "register --config FILE [--account NAME]",
		Short: "Register our webhook URLs at the providers, and print what to configure",
		Long: `Register the webhook URL of every configured account at its provider, for the
events we need (Stripe's pinned to the API version we read), and print the secret
or id to put into the configuration. Stripe shows a secret this once.

It may be repeated: a URL that is registered already is found, and put right if it
is switched off or lacks events. Accounts may lack webhook_secrets and webhook_ids
here, because this is how one gets them.`,
		Example: "  trifecta webhooks register --config trifecta.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(config.Options{File: file, Environ: p.environ, Unregistered: true})
			if err != nil {
				return fmt.Errorf("the configuration is refused:\n%w", err)
			}
			return p.register(cmd.Context(), cfg, only)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (YAML)")
	cmd.Flags().StringVar(&only, "account", "", "one configured account (default: every one)")
	return cmd
}

func (p program) register(ctx context.Context, cfg config.Config, only string) error {
	clock, _, err := clockOf(ctx, cfg, p.logger(true, slog.LevelWarn))
	if err != nil {
		return err
	}
	accounts, err := house.Accounts(house.Options{Config: cfg, Clock: clock, Wall: time.Now, Logger: p.logger(true, slog.LevelWarn)}) //nolint:contextcheck // making adapters calls nobody
	if err != nil {
		return err
	}
	found := false
	for _, a := range cfg.Accounts {
		account, ok := accounts.Account(a.Name)
		if !ok || only != "" && a.Name != only {
			continue
		}
		found = true
		registrar, ok := account.Registrar()
		if !ok {
			continue
		}
		urls := []struct {
			url, key string
			connect  bool
		}{{doctor.EndpointURL(cfg, a, false), "webhook_secrets", false}}
		if len(a.ConnectWebhookSecrets) > 0 {
			urls = append(urls, urls[0])
			urls[1].url, urls[1].key, urls[1].connect = doctor.EndpointURL(cfg, a, true), "connect_webhook_secrets", true
		}
		for _, u := range urls {
			if err := p.registerOne(ctx, a, registrar, u.url, u.key, u.connect); err != nil {
				what, fix := doctor.Explain(err)
				return fmt.Errorf("register %s for %s: %w\n%s. %s", u.url, a.Name, err, what, fix)
			}
		}
	}
	if !found {
		return fmt.Errorf("no account is called %q", only)
	}
	return nil
}

// registerOne makes sure that one URL is registered as we need it.
func (p program) registerOne(ctx context.Context, a config.Account, r providers.Registrar, url, key string, connect bool) error {
	_, _ = fmt.Fprintf(p.err, "%s: looking for %s …\n", a.Name, url)
	list, err := r.Endpoints(ctx)
	if err != nil {
		return err
	}
	needs := r.EndpointNeeds()
	old := ""
	for _, e := range list {
		if e.URL != url {
			continue
		}
		if needs.Version != "" && e.Version != needs.Version {
			old = e.ID // its version is for good
			continue
		}
		return p.putRight(ctx, a, r, e)
	}
	// A fresh key for each run: an answer remembered from a registration that was
	// removed since would be about nothing. A repeat looks at the list first.
	made, err := r.CreateEndpoint(ctx, url, connect, rand.Text())
	if err != nil {
		if providers.ClassOf(err) == providers.Unknown {
			return fmt.Errorf("it is unknown whether it was registered; run this again, which looks first: %w", err)
		}
		return err
	}
	text := fmt.Sprintf("%s: registered %s as %s. Add to its account in the configuration:\n", a.Name, url, made.ID)
	if a.Provider == config.ProviderPayPal {
		text += fmt.Sprintf("    webhook_ids: [%s]\n", made.ID)
	} else {
		text += fmt.Sprintf("    %s: [%s]\n", key, made.Secret)
	}
	if old != "" {
		text += fmt.Sprintf("%s: %s has the same URL and another API version. Configure the new secret beside the old one, restart, then remove %s at the provider.\n", a.Name, old, old)
	}
	_, err = fmt.Fprint(p.out, text)
	return err
}

// putRight enables a registration that is there, and adds what events it lacks.
func (p program) putRight(ctx context.Context, a config.Account, r providers.Registrar, e providers.Endpoint) error {
	needs, did := r.EndpointNeeds(), "is registered already"
	if missing := needs.Missing(e); !e.Enabled || len(missing) > 0 {
		events := append(slices.Clone(e.Events), missing...)
		if _, err := r.UpdateEndpoint(ctx, e.ID, events, rand.Text()); err != nil {
			return err
		}
		did = fmt.Sprintf("was registered already and is put right (%d events added)", len(missing))
		if !e.Enabled {
			did += ", and switched on again"
		}
	}
	note := "Its secret is not shown again: if you don't have it, roll it in the provider's dashboard."
	if a.Provider == config.ProviderPayPal {
		note = fmt.Sprintf("webhook_ids: [%s]", e.ID)
	}
	_, err := fmt.Fprintf(p.out, "%s: %s %s as %s. %s\n", a.Name, e.URL, did, e.ID, note)
	return err
}
