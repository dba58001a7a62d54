package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
)

func (p program) apikey() *cobra.Command {
	cmd := &cobra.Command{Use: "apikey", Short: "Make, list and revoke API keys for your apps and for operators"}
	cmd.AddCommand(p.apikeyCreate(), p.apikeyList(), p.apikeyRevoke())
	return cmd
}

func (p program) apikeyCreate() *cobra.Command {
	var file, app string
	var operator bool
	var scopes []string
	cmd := &cobra.Command{
		Use:   "create --config FILE (--app NAME [--scopes A,B] | --operator)",
		Short: "Make a key and print it, alone, on stdout",
		Long: `Make an API key and print it, alone, on stdout. It is shown this once: only its
digest is stored.

It opens the store itself, so with SQLite no server may be running.`,
		Example: "  trifecta apikey create --config trifecta.yaml --app shop\n  trifecta apikey create --config trifecta.yaml --app shop --scopes payments:read\n  trifecta apikey create --config trifecta.yaml --operator",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (app == "") == !operator {
				return errors.New("say who the key is for: --app NAME or --operator")
			}
			cfg, err := config.Load(config.Options{File: file, Environ: p.environ})
			if err != nil {
				return fmt.Errorf("the configuration is refused:\n%w", err)
			}
			if names := appNames(cfg); !operator && !slices.Contains(names, app) {
				return fmt.Errorf("no app is called %q; the configuration has: %s", app, strings.Join(names, ", "))
			}
			if fault := gateway.ScopeFault(scopes); fault != "" {
				return fmt.Errorf("--scopes: %s", fault)
			}
			key, err := p.makeKey(cmd.Context(), cfg, app, operator, scopes)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.out, key)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (YAML)")
	cmd.Flags().StringVar(&app, "app", "", "the product app the key belongs to")
	cmd.Flags().BoolVar(&operator, "operator", false, "make an operator key, which spans apps")
	cmd.Flags().StringSliceVar(&scopes, "scopes", nil, "scopes of the key (default: all)")
	return cmd
}

func appNames(cfg config.Config) []string {
	names := make([]string, 0, len(cfg.Apps))
	for _, a := range cfg.Apps {
		names = append(names, a.Name)
	}
	return names
}

func (p program) makeKey(ctx context.Context, cfg config.Config, app string, operator bool, scopes []string) (key string, err error) {
	h, err := house.Build(ctx, house.Options{Config: cfg, Clock: time.Now, Wall: time.Now, Logger: p.logger(false, slog.LevelWarn)})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	return h.Service.NewKey(ctx, app, operator, scopes)
}
