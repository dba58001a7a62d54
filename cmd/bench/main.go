// Command bench measures a running Trifecta from outside, as an app, a customer and
// a provider meet it. Gateway and sandbox are processes of their own, so CPU and
// memory are the gateway's alone. Wherever a floor exists (the least that any such
// service has to do) it is measured in the same run, and the figure is given as a
// ratio to it: that is what can be compared between machines.
//
// Every figure is one JSON line on stdout; progress goes to stderr. When the load is
// over, cmd/checkbooks compares the gateway's book with the sandbox's, and bench
// exits 1 if they differ: a fast wrong answer is no figure. It must not be part of
// the product, and reaches nothing but this machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options say what is measured and how long.
type options struct {
	bin      string // directory of the built programs
	mongo    string // store of the gateway; empty: SQLite in a temporary directory
	history  int    // payments in the book before the sweep is measured
	changes  int
	payments int           // complete payments per provider
	profile  string        // where to write CPU profiles of the gateway
	span     time.Duration // of each throughput measurement
	only     string
}

func main() {
	os.Exit(run())
}

func run() int {
	var o options
	var floorStore, floorStripe string
	flag.StringVar(&o.bin, "bin", "bin", "directory with the programs trifecta and checkbooks")
	flag.StringVar(&o.mongo, "mongo", "", "MongoDB URL for the gateway's store; empty means SQLite in a temporary directory")
	flag.IntVar(&o.history, "history", 2000, "payments in the book before the sweep is measured (100000 takes a while)")
	flag.IntVar(&o.changes, "changes", 100, "payments that change before the sweep")
	flag.IntVar(&o.payments, "payments", 1000, "complete payments made per provider")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of the gateway under load to this file (section complete), and to FILE.creates, FILE.webhooks, FILE.hot")
	flag.DurationVar(&o.span, "span", 5*time.Second, "how long each throughput is measured")
	flag.StringVar(&o.only, "only", "", "comma-separated sections: start, latency, creates, complete, hot, webhooks, truth, reconcile, sweep")
	flag.StringVar(&floorStore, "floor", "", "serve the floor with this SQLite file (bench starts itself so)")
	flag.StringVar(&floorStripe, "floor-stripe", "", "the floor's Stripe")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if floorStore != "" {
		err = serveFloor(ctx, floorStore, floorStripe)
	} else {
		err = bench(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// section is one part of the measuring.
type section struct {
	name string
	run  func(context.Context, *town) error
}

func sections() []section {
	return []section{
		{"start", measureStart},
		{"latency", measureLatency},
		{"creates", measureCreates},
		{"complete", measureComplete},
		{"hot", measureHot},
		{"webhooks", measureWebhooks},
		{"truth", measureTruth},
		{"reconcile", measureReconcile},
		{"sweep", measureSweep},
	}
}

func bench(ctx context.Context, o options) error {
	say("machine: %s", machine())
	began := time.Now()
	for _, s := range sections() {
		if o.only != "" && !strings.Contains(","+o.only+",", ","+s.name+",") {
			continue
		}
		if err := measure(ctx, o, s, began); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// measure runs one section in a world of its own, so that what one leaves behind
// (open payments that are read again later) does not slow the next.
func measure(ctx context.Context, o options, s section, began time.Time) error {
	dir, err := os.MkdirTemp("", "trifecta-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the numbers are out; a leftover in the temporary directory harms nobody
	t, err := openTown(ctx, o, dir, began)
	if err != nil {
		return err
	}
	defer t.close()
	t.progress("%s …", s.name)
	if err := s.run(ctx, t); err != nil {
		return fmt.Errorf("%w\n%s", err, t.gateway.tail())
	}
	return t.verify(ctx)
}

// verify lets an independent program compare both books, and look for every payment that
// was acknowledged.
func (t *town) verify(ctx context.Context) error {
	answered := filepath.Join(t.dir, "answered")
	if err := os.WriteFile(answered, t.answered.Bytes(), 0o600); err != nil {
		return err
	}
	out, err := t.program(ctx, filepath.Join(t.o.bin, "checkbooks"), "-api", t.api, "-key", t.keys[0], "-stripe", t.stripe, "-paypal", t.paypal, "-allow-open", "-plain", "-answered", answered)
	t.progress("books: %s", lastLine(out))
	if err != nil {
		return fmt.Errorf("the books differ: %w\n%s", err, out)
	}
	say("books: %s", lastLine(out))
	return nil
}
