package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/transfer"
)

type migrateOptions struct {
	config, from, to string
	dryRun           bool
}

func (p program) migrate() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate (--config FILE | --from STORE (--to STORE | --config FILE)) [--dry-run]",
		Short: "Create what the store needs, or move a shop to another store",
		Long: `Without --from, create what the configured store lacks: MongoDB's indexes, or the
schema of an SQLite file. Nothing that exists is changed or dropped. It may be
repeated, and started by several machines at once.

With --from, copy a whole store into an empty one, of any engine: every document
with its version. Both must be at rest: stop the server first. It can be killed at
any moment; the same command goes on where it was. At the end every document of
both stores is compared. The old store is not changed. Until all that is done,
serve refuses the new one.

A store is sqlite:FILE or mongodb://HOSTS/DATABASE. Without --to it is the
configured one, which keeps a password out of the list of processes.`,
		Example: "  trifecta migrate --config trifecta.yaml\n  trifecta migrate --from sqlite:trifecta.db --config new.yaml --dry-run\n  trifecta migrate --from sqlite:trifecta.db --to mongodb://db1,db2/trifecta?replicaSet=rs0",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := p.runMigrate(cmd.Context(), o)
			if err != nil && cmd.Context().Err() != nil {
				return errors.New("stopped. Run the same command again to go on where it was")
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "the configuration file (YAML)")
	f.StringVar(&o.from, "from", "", "the store to copy, sqlite:FILE or mongodb://…")
	f.StringVar(&o.to, "to", "", "the empty store to copy it into (default: the configured one)")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

func (p program) runMigrate(ctx context.Context, o migrateOptions) error {
	to := config.NewSecret(o.to)
	switch {
	case o.from == "" && o.to != "":
		return errors.New("--to needs --from: say which store to copy")
	case o.to != "" && o.config != "":
		return errors.New("give --to or --config, not both: each names the store to copy into")
	case o.to == "":
		cfg, err := config.Load(config.Options{File: o.config, Environ: p.environ})
		if err != nil {
			return fmt.Errorf("the configuration is refused:\n%w", err)
		}
		to = cfg.Store
	}
	if o.from == "" {
		return p.prepareStore(ctx, to, o.dryRun)
	}
	from := config.NewSecret(o.from)
	// Both are known again by their names: the target remembers from where it is filled.
	source, err := house.StoreIdentity(from)
	if err != nil {
		return fmt.Errorf("the store to copy: %w", err)
	}
	target, err := house.StoreIdentity(to)
	if err != nil {
		return fmt.Errorf("the store to copy into: %w", err)
	}
	if source == target {
		return fmt.Errorf("both stores are %s", target)
	}
	return p.copyStore(ctx, from, to, o.dryRun)
}

// prepareStore creates what the store lacks.
func (p program) prepareStore(ctx context.Context, address config.Secret, dryRun bool) (err error) {
	if dryRun && house.Absent(address) {
		_, err := fmt.Fprintf(p.out, "%s would be created\n", house.StoreName(address))
		return err
	}
	e, err := p.openPatiently(ctx, address, dryRun)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if dryRun {
		return p.tellDrift(ctx, address, e)
	}
	created := []string{}
	if m, ok := e.(store.Migrator); ok {
		_, _ = fmt.Fprintln(p.err, "creating the missing indexes; on a large store this takes a while")
		if created, err = m.Migrate(ctx); err != nil {
			return fmt.Errorf("after %d indexes: %w", len(created), err)
		}
	}
	for _, name := range created {
		if _, err := fmt.Fprintf(p.out, "created index %s\n", name); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(p.out, "%s is ready\n", house.StoreName(address))
	return err
}

// tellDrift says what preparing would do.
func (p program) tellDrift(ctx context.Context, address config.Secret, e store.Engine) error {
	drift, err := house.IndexDrift(ctx, e)
	if err != nil {
		return err
	}
	for _, d := range drift {
		if _, err := fmt.Fprintln(p.out, d.Text); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(p.out, "%s: %d differences from what is declared\n", house.StoreName(address), len(drift))
	return err
}

// lockWait is how long a store that is in use is asked again: others that prepare
// the same SQLite file at the same time are done soon.
const lockWait = 5 * time.Second

func (p program) openPatiently(ctx context.Context, address config.Secret, readOnly bool) (store.Engine, error) {
	for begun := time.Now(); ; {
		e, err := house.OpenStore(ctx, address, readOnly)
		if err == nil || !errors.Is(err, store.ErrUnavailable) || time.Since(begun) > lockWait {
			return e, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// copyStore moves a shop.
func (p program) copyStore(ctx context.Context, from, to config.Secret, dryRun bool) (err error) {
	source, err := p.openPatiently(ctx, from, true)
	if err != nil {
		return fmt.Errorf("the store to copy: %w", err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	scheme, _ := config.Config{Store: from}.StoreURL()
	o := transfer.Options{
		Source: source, SourceName: house.StoreName(from), Owner: owner(), Clock: time.Now, Collections: store.Collections(),
		Ephemeral: []string{store.ReplicaCollection().Name}, SourceExclusive: scheme == "sqlite", Alive: alive,
	}
	if !dryRun || !house.Absent(to) {
		target, err := p.openPatiently(ctx, to, dryRun)
		if err != nil {
			return fmt.Errorf("the store to copy into: %w", err)
		}
		defer func() { err = errors.Join(err, target.Close()) }()
		o.Target = target
	}
	if dryRun {
		return p.tellPlan(ctx, o, house.StoreName(to))
	}
	if m, ok := o.Target.(store.Migrator); ok {
		if _, err := m.Migrate(ctx); err != nil {
			return fmt.Errorf("create the new store's indexes: %w", err)
		}
	}
	bar := newProgress(p.err, time.Now)
	o.Progress = func(at transfer.Progress) { bar.show(string(at.State), at.Collection, at.Done, at.Total) }
	report, err := transfer.Run(ctx, o)
	bar.end()
	if err != nil {
		return fmt.Errorf("migrate %s to %s: %w", house.StoreName(from), house.StoreName(to), err)
	}
	return p.tellReport(report, house.StoreName(from), house.StoreName(to))
}

// owner names this process run.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:6])
}

// alive names the servers on a store that several processes may have open. An
// SQLite file is ours alone, so whoever left a presence in it is dead.
func alive(ctx context.Context, e store.Engine) ([]string, error) {
	if house.OneProcess(e) {
		return nil, nil
	}
	live, err := store.ScanPresences(ctx, e, time.Now())
	names := make([]string, 0, len(live))
	for _, l := range live {
		names = append(names, fmt.Sprintf("%s on %s until %s", l.ID, l.Host, l.Expires.Format(time.TimeOnly)))
	}
	return names, err
}

func (p program) tellPlan(ctx context.Context, o transfer.Options, to string) error {
	planned, err := transfer.Plan(ctx, o)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "COLLECTION\tDOCUMENTS\tCOPIED BEFORE")
	sum := int64(0)
	for _, c := range planned {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\n", c.Name, c.Documents, c.Copied)
		sum += c.Documents
	}
	_, _ = fmt.Fprintf(w, "\n%d documents would be copied from %s to %s. Nothing was written.\n", sum, o.SourceName, to)
	return w.Flush()
}

func (p program) tellReport(r transfer.Report, from, to string) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "COLLECTION\tDOCUMENTS\tREPAIRED\tSHA-256 OF BOTH")
	sum := int64(0)
	for _, c := range r.Collections {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", c.Name, c.Count, c.Repaired, c.Digest[:min(16, len(c.Digest))])
		sum += c.Count
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Already {
		_, err := fmt.Fprintf(p.out, "\nNothing to do: %s was copied to %s before, %d documents, and has not changed since.\n", from, to, sum)
		return err
	}
	_, err := fmt.Fprintf(p.out, "\n%d documents are in %s, each compared with %s, which is unchanged.\nNext: set store in the configuration, run trifecta doctor, start the server, and put the old store away.\n", sum, to, from)
	return err
}
