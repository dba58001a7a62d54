package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/doctor"
	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
)

// exitError ends the program with a code of its own, without a word: what there is
// to say has been printed.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func (p program) doctor() *cobra.Command {
	var file string
	var asJSON, strict bool
	cmd := &cobra.Command{
		Use:   "doctor --config FILE [--json] [--strict]",
		Short: "Check the configuration, the providers, the webhooks and the store, and say what to fix",
		Long: `Look at everything that a shop needs, and say of each finding what to do: the
configuration with all its faults, the credentials and the mode of every account,
this machine's clock, the webhook registrations at the providers (our URL, switched
on, the API version and the events we need), the store (answers, takes a write, has
its indexes), keys and secrets, and whether public_url leads here.

It changes no record. With SQLite it can run beside the server, and then leaves the
store alone.

Exit code: 0 when nothing failed, warnings or not; 1 when something failed; 2 with
--strict when there were warnings only.`,
		Example: "  trifecta doctor --config trifecta.yaml\n  trifecta doctor --config trifecta.yaml --json | jq '.findings[] | select(.mark != \"ok\")'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := p.examine(cmd.Context(), file)
			if err != nil {
				return err
			}
			if asJSON {
				err = report.PrintJSON(p.out)
			} else {
				err = report.Print(p.out)
			}
			switch {
			case err != nil:
				return err
			case report.Failures > 0:
				return exitError{1}
			case strict && report.Warnings > 0:
				return exitError{2}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (YAML)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with code 2 when there are warnings")
	return cmd
}

// examine opens what there is to look at, looks, and closes it.
func (p program) examine(ctx context.Context, file string) (report doctor.Report, err error) {
	o := doctor.Options{
		File: file, Clock: time.Now, Owner: rand.Text(), Client: &http.Client{Timeout: 10 * time.Second},
		Strange:  strange(p.environ),
		Progress: func(check string) { _, _ = fmt.Fprintln(p.err, "checking", check, "…") },
	}
	if o.Config, o.ConfigErr = config.Load(config.Options{File: file, Environ: p.environ}); o.ConfigErr != nil {
		if o.Config, err = config.Load(config.Options{File: file, Environ: p.environ, Unregistered: true}); err != nil {
			return doctor.Run(ctx, o), nil // it tells the faults
		}
		o.Usable = true
	}
	log := p.logger(true, slog.LevelWarn)
	if clock, _, err := clockOf(ctx, o.Config, log); err == nil {
		o.Clock = clock
	} else {
		return report, err // without the clock that everything follows, nothing means anything
	}
	o.Accounts, o.AccountsErr = house.Accounts(house.Options{Config: o.Config, Clock: o.Clock, Wall: time.Now, Logger: log}) //nolint:contextcheck // making adapters calls nobody
	o.Progress("store.open")
	if o.Absent = house.Absent(o.Config.Store); !o.Absent {
		o.Engine, o.StoreErr = house.OpenStore(ctx, o.Config.Store, false)
	}
	if house.InUse(o.StoreErr) {
		o.InUse, o.StoreErr = true, nil
	}
	if o.Engine != nil {
		defer func() { err = errors.Join(err, o.Engine.Close()) }()
	}
	return doctor.Run(ctx, o), nil
}
