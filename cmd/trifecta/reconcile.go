package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
)

// operatorKeyVariable holds the operator key of tools that ask a running server.
const operatorKeyVariable = "TRIFECTA_OPERATOR_KEY"

// at is how an operator's tool reaches the records: through a running server's
// API, or by opening the store itself.
type at struct {
	config, server string
}

func (a *at) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.config, "config", "", "the configuration file; opens the store itself (SQLite: only while no server runs)")
	cmd.Flags().StringVar(&a.server, "server", "", "ask the running server at this URL instead, with the operator key in "+operatorKeyVariable)
}

// withHouse builds the house for one tool and closes it afterwards.
func (p program) withHouse(ctx context.Context, file string, fn func(*house.House) error) (err error) {
	cfg, err := config.Load(config.Options{File: file, Environ: p.environ})
	if err != nil {
		return fmt.Errorf("the configuration is refused:\n%w", err)
	}
	if err := mustExist(cfg); err != nil {
		return err
	}
	h, err := house.Build(ctx, house.Options{Config: cfg, Clock: time.Now, Wall: time.Now, Logger: p.logger(true, slog.LevelWarn)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	return fn(h)
}

// mustExist refuses an SQLite file that isn't there. Made in passing, because a disk is not mounted, a path is misspelt or
// the command was started in another directory, an empty one would pass for the shop's record: a server would acknowledge
// webhooks into it, an erasure would prove that a customer is gone, a sweep would find orphans only.
func mustExist(cfg config.Config) error {
	if !house.Absent(cfg.Store) {
		return nil
	}
	return fmt.Errorf("there is no file %s. If this shop is new, trifecta migrate --config FILE makes it, and so does trifecta apikey create. "+
		"Otherwise see whether its disk is mounted, and where the path starts: a relative one does at the directory of the command", house.StoreName(cfg.Store))
}

func (p program) reconcile() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reconcile", Short: "Ask the providers themselves, now, and see what earlier runs found",
		Long: `Layer three: the providers' own lists and objects, read on a schedule by the
server, or now by this command. Every run leaves a record.

With --config, run works by itself and prints how it went. With --server it only gives
the order, and the server works on it within seconds: status shows how it went.`,
	}
	cmd.AddCommand(p.reconcileRun(), p.reconcileStatus())
	return cmd
}

func (p program) reconcileRun() *cobra.Command {
	var where at
	var job, account, from, to string
	cmd := &cobra.Command{
		Use:   "run (--config FILE | --server URL) [--job due|sweep|janitor|all]",
		Short: "Run a job now and print its record",
		Example: `  trifecta reconcile run --config trifecta.yaml
  trifecta reconcile run --config trifecta.yaml --job sweep --account stripe-eu --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z
  ` + operatorKeyVariable + `=tk_op_demo trifecta reconcile run --server http://127.0.0.1:8080`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if where.server != "" {
				body := map[string]any{"job": job}
				for name, value := range map[string]string{"account": account, "from": from, "to": to} {
					if value != "" {
						body[name] = value
					}
				}
				return p.ask(cmd.Context(), where.server, "POST", "/v1/reconcile/runs", body)
			}
			start, end, err := window(from, to)
			if err != nil {
				return err
			}
			return p.withHouse(cmd.Context(), where.config, func(h *house.House) error {
				_, _ = fmt.Fprintf(p.err, "running %s …\n", job)
				run, err := h.Reconciler.RunOnce(cmd.Context(), reconcile.Job(job), account, start, end, payment.Actor{Type: payment.ActorOperator, ID: "cli"})
				if err != nil {
					return err
				}
				return p.printRuns([]reconcile.Run{run})
			})
		},
	}
	where.flags(cmd)
	cmd.Flags().StringVar(&job, "job", "all", "due, sweep, janitor or all")
	cmd.Flags().StringVar(&account, "account", "", "one configured account (default: every one)")
	cmd.Flags().StringVar(&from, "from", "", "start of the window of a sweep, RFC 3339 (default: where the last one stopped)")
	cmd.Flags().StringVar(&to, "to", "", "end of the window of a sweep, RFC 3339")
	return cmd
}

func window(from, to string) (start, end time.Time, err error) {
	for _, t := range []struct {
		flag, text string
		into       *time.Time
	}{{"--from", from, &start}, {"--to", to, &end}} {
		if t.text == "" {
			continue
		}
		if *t.into, err = time.Parse(time.RFC3339, t.text); err != nil {
			return start, end, fmt.Errorf("%s must be a time such as 2026-01-31T00:00:00Z: %w", t.flag, err)
		}
	}
	return start, end, nil
}

func (p program) reconcileStatus() *cobra.Command {
	var where at
	cmd := &cobra.Command{
		Use: "status (--config FILE | --server URL)", Short: "Print the latest runs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if where.server != "" {
				return p.ask(cmd.Context(), where.server, "GET", "/v1/reconcile/runs", nil)
			}
			return p.withHouse(cmd.Context(), where.config, func(h *house.House) error {
				runs, _, err := h.Runs.List(cmd.Context(), store.RunFilter{Limit: 20})
				if err != nil {
					return err
				}
				return p.printRuns(runs)
			})
		},
	}
	where.flags(cmd)
	return cmd
}

func (p program) printRuns(runs []reconcile.Run) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "STARTED\tJOB\tACCOUNT\tSTATE\tSEEN\tCHANGED\tCALLS\tDISCREPANCIES\tORPHANS\tERRORS")
	for _, r := range runs {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", r.StartedAt.Format(time.RFC3339), r.Job, r.Account, r.State,
			r.Seen, r.Changed, r.Calls, r.Discrepancies, r.Orphans, r.ErrorCount)
		for _, e := range r.Errors {
			_, _ = fmt.Fprintf(w, "  %s\n", e)
		}
	}
	return w.Flush()
}
