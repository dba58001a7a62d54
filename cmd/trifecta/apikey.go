package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
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
	var where at
	var app string
	var operator bool
	var scopes []string
	cmd := &cobra.Command{
		Use:   "create (--config FILE | --server URL) (--app NAME [--scopes A,B] | --operator)",
		Short: "Make a key and print it, alone, on stdout",
		Long: `Make an API key and print it, alone, on stdout. It is shown this once: only its
digest is stored.

With --config it opens the store itself, so with SQLite no server may be running: that is
how the first key is made. With --server it asks a running one, with the operator key in
` + operatorKeyVariable + `.`,
		Example: "  trifecta apikey create --config trifecta.yaml --app shop\n  trifecta apikey create --config trifecta.yaml --app shop --scopes payments:read\n  trifecta apikey create --config trifecta.yaml --operator\n  trifecta apikey create --server https://pay.example.com --app shop",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (app == "") == !operator {
				return errors.New("say who the key is for: --app NAME or --operator")
			}
			if operator && scopes != nil { // it would be listed with them, and may do everything
				return errors.New("--scopes belong to keys of apps: an operator key may do everything")
			}
			if fault := gateway.ScopeFault(scopes); fault != "" {
				return fmt.Errorf("--scopes: %s", fault)
			}
			if where.server != "" {
				return p.keyFrom(cmd.Context(), where.server, app, operator, scopes)
			}
			cfg, err := config.Load(config.Options{File: where.config, Environ: p.environ})
			if err != nil {
				return fmt.Errorf("the configuration is refused:\n%w", err)
			}
			if names := appNames(cfg); !operator && !slices.Contains(names, app) {
				return fmt.Errorf("no app is called %q; the configuration has: %s", app, strings.Join(names, ", "))
			}
			key, err := p.makeKey(cmd.Context(), cfg, app, operator, scopes)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.out, key)
			return err
		},
	}
	where.flags(cmd)
	cmd.Flags().StringVar(&app, "app", "", "the product app the key belongs to")
	cmd.Flags().BoolVar(&operator, "operator", false, "make an operator key, which spans apps")
	cmd.Flags().StringSliceVar(&scopes, "scopes", nil, "scopes of an app's key: "+strings.Join(gateway.AllScopes(), ", ")+" (default: all)")
	return cmd
}

// keyFrom asks a running server for a key and prints it.
func (p program) keyFrom(ctx context.Context, server, app string, operator bool, scopes []string) error {
	order := map[string]any{}
	if operator {
		order["operator"] = true
	} else {
		order["app"] = app
		if scopes != nil {
			order["scopes"] = scopes
		}
	}
	answer, err := p.asked(ctx, server, http.MethodPost, "/v1/api_keys", order)
	if err != nil {
		return err
	}
	var made struct{ Key string }
	if err := json.Unmarshal(answer, &made); err != nil || made.Key == "" {
		return errors.New("the server's answer has no key in it; see trifecta apikey list, and revoke what was made")
	}
	_, err = fmt.Fprintln(p.out, made.Key)
	return err
}

func appNames(cfg config.Config) []string {
	names := make([]string, 0, len(cfg.Apps))
	for _, a := range cfg.Apps {
		names = append(names, a.Name)
	}
	return names
}

func (p program) makeKey(ctx context.Context, cfg config.Config, app string, operator bool, scopes []string) (key string, err error) {
	isNew := house.Absent(cfg.Store)
	h, err := house.Build(ctx, house.Options{Config: cfg, Clock: time.Now, Wall: time.Now, Logger: p.logger(false, slog.LevelWarn)})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if isNew {
		_, _ = fmt.Fprintf(p.err, "there was no file %s: a new one was made\n", house.StoreName(cfg.Store))
	}
	return h.Service.NewKey(ctx, app, operator, scopes)
}
