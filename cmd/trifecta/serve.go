package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
)

func (p program) serve() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the gateway",
		Long: `Run the gateway with a configuration file, the environment, or both.

Everything doubtful is refused before the first payment, all faults at once.
docs/trifecta.example.yaml explains every key; each can also come from the
environment as TRIFECTA_…, and each secret from a file.

It stops cleanly on SIGINT and SIGTERM, within ten seconds even when a provider
hangs: no new requests, those under way finish, leases are given back. A kill -9 is
safe too: what was begun is finished at the next start, or by another process.`,
		Example: "  trifecta serve --config trifecta.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(config.Options{File: file, Environ: p.environ})
			if err != nil {
				return fmt.Errorf("the configuration is refused:\n%w", err)
			}
			return p.runServe(cmd.Context(), cfg)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (YAML)")
	return cmd
}

// mayStart refuses a live shop without its record. Where no real money is, a new file is what a first try wants.
func mayStart(cfg config.Config) error {
	if !cfg.Live() {
		return nil
	}
	return mustExist(cfg)
}

func (p program) runServe(ctx context.Context, cfg config.Config) (err error) {
	easeCollector(p.environ)
	if err := mayStart(cfg); err != nil {
		return err
	}
	isNew := house.Absent(cfg.Store)
	log := p.logger(false, slog.LevelInfo)
	if isNew {
		log.WarnContext(ctx, "the store is new and empty; if there was one, see whether its disk is mounted and where its path starts", "store", house.StoreName(cfg.Store))
	}
	for _, name := range strange(p.environ) {
		log.WarnContext(ctx, "a variable sets nothing: no key of the configuration has this name", "variable", name)
	}
	clock, follow, err := clockOf(ctx, cfg, log)
	if err != nil {
		return err
	}
	h, err := house.Build(ctx, house.Options{Config: cfg, Clock: clock, Wall: time.Now, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if err := h.Enter(ctx); err != nil {
		return err
	}
	public, err := listen(ctx, "http.addr", cfg.HTTP.Addr)
	if err != nil {
		return errors.Join(err, h.Leave(ctx))
	}
	internal, err := listen(ctx, "http.internal_addr", cfg.HTTP.InternalAddr)
	if err != nil {
		return errors.Join(err, public.Close(), h.Leave(ctx))
	}
	if len(cfg.Alerts.Channels) == 0 {
		log.WarnContext(ctx, "no alert channel is configured: alerts are records only, see GET /v1/alerts")
	}
	log.InfoContext(ctx, "ready", "addr", public.Addr().String(), "internal", internal.Addr().String(), "public_url", cfg.PublicURL)
	err = serveAll(ctx, log, running{
		sites: []site{
			{name: "public", listener: public, handler: h.Public},
			{name: "internal", listener: internal, handler: h.Internal(), last: true},
		},
		workers:  func(ctx context.Context) error { return both(ctx, h.Run, follow) },
		stopping: h.Stopping, cut: h.Cut,
	})
	err = errors.Join(err, h.Leave(ctx)) // after the last request: a migration may begin now
	log.InfoContext(ctx, "stopped")
	return err
}

// strange are the variables of ours that nothing reads.
func strange(environ []string) []string { return config.Strange(environ, operatorKeyVariable) }

// both runs two workers until ctx ends.
func both(ctx context.Context, a, b func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- b(ctx) }()
	return errors.Join(a(ctx), <-done)
}
