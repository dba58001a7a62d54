// Command sim plays seeds: payments at both providers, customers, operators and
// every fault there is, in one goroutine over virtual time, with the product's own
// rooms. A seed always plays the same way. It is for tests only and must not know
// anything that an app, an operator or a provider could not know, except what time
// it is.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strings"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout)) }

// classes collects -off flags.
type classes []string

func (c *classes) String() string { return strings.Join(*c, ",") }

// Set adds a class of fault.
func (c *classes) Set(v string) error {
	for _, class := range strings.Split(v, ",") {
		if !slices.Contains(faultClasses(), class) {
			return fmt.Errorf("no such class of fault; there are %s", strings.Join(faultClasses(), ", "))
		}
		*c = append(*c, class)
	}
	return nil
}

func run(args []string, out io.Writer) int {
	fs := flag.NewFlagSet("sim", flag.ContinueOnError)
	fs.SetOutput(out)
	seeds := fs.Uint64("seeds", 100, "how many seeds")
	first := fs.Uint64("first", 1, "the first of them")
	one := fs.Uint64("seed", 0, "play this seed alone")
	mode := fs.String("mode", "", "one of "+strings.Join(modes(), ", ")+"; default: all of them")
	verbose := fs.Bool("v", false, "tell everything that happens")
	var off classes
	fs.Var(&off, "off", "a class of fault to switch off (may be repeated)")
	if fs.Parse(args) != nil {
		return 2
	}
	which := modes()
	if *mode != "" {
		if !slices.Contains(which, *mode) {
			fmt.Fprintf(out, "no such mode: %s\n", *mode)
			return 2
		}
		which = []string{*mode}
	}
	r, err := newRunner(wiring{})
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	if *one != 0 {
		*first, *seeds = *one, 1
	}
	bad, counts := 0, map[string]int{}
	for _, m := range which {
		bad += r.series(m, *first, *seeds, off, *verbose, out, counts)
	}
	if missing := unseen(counts); len(which) == len(modes()) && *seeds >= enough && len(off) == 0 && len(missing) > 0 {
		fmt.Fprintf(out, "never happened, so nothing was proved about it: %s\n", strings.Join(missing, " "))
		bad++
	}
	if bad > 0 {
		return 1
	}
	return 0
}

// enough is from how many seeds of each mode on everything must have happened.
const enough = 200

// sometimes are the things that a run over enough seeds must have brought about:
// a promise that was never tempted is not tested.
func sometimes() []string {
	return []string{
		"crash_before_payment.replace", "crash_after_payment.replace", "crash_before_payment.insert", "crash_after_payment.insert", "crash_after_inbox.insert",
		"crash_in_request", "crash_in_webhook", "key_expired", "stored_500_looked_up", "key_renewed", "operation_repeated", "garbled_answer",
		"webhook_before_own_write", "webhook_raced_call", "webhook_raced_refund", "webhook_answer_lost", "inbox_lost", "inbox_learned", "dead_replayed",
		"lost_ack", "lost_write", "store_conflict", "store_outage", "provider_outage", "process_asleep", "clock_jump", "answer_lost", "answered_unknown",
		"answered_idempotency_in_progress", "conflict_seen", "alert_conflicted_payment", "alert_outside_capture", "alert_operation_stuck",
		"two_tabs", "switched", "second_attempt", "double_click", "dispute", "dashboard_refund", "refund_failed_late", "reversal", "shop_gave_up",
		"settled_by_return", "settled_by_webhook", "settled_by_reconcile", "settled_by_api", "run_lost",
	}
}

func unseen(counts map[string]int) (out []string) {
	for _, name := range sometimes() {
		if counts[name] == 0 {
			out = append(out, name)
		}
	}
	return out
}

// maxShown is how many failing seeds of a mode are told in full.
const maxShown = 10

// series plays seeds of one mode and returns how many failed.
func (r *runner) series(mode string, first, n uint64, off []string, verbose bool, out io.Writer, all map[string]int) (bad int) {
	var trace io.Writer
	if verbose {
		trace = out
	}
	began, last := time.Now(), time.Now()
	counts := map[string]int{}
	var virtual time.Duration
	for seed := first; seed < first+n; seed++ {
		res, err := r.run(seed, mode, off, trace)
		if err != nil {
			fmt.Fprintf(out, "%s seed %d: %v\n", mode, seed, err)
			return bad + 1
		}
		virtual += res.lasted
		for k, v := range res.counts {
			counts[k] += v
			all[k] += v
		}
		if len(res.failed) > 0 {
			if bad++; bad <= maxShown {
				r.report(res, off, out)
			}
		}
		if time.Since(last) > 5*time.Second {
			last = time.Now()
			fmt.Fprintf(out, "%s: %d of %d seeds, %d failed, %.1f seeds/s\n", mode, seed-first+1, n, bad, float64(seed-first+1)/time.Since(began).Seconds())
		}
		if n == 1 {
			fmt.Fprintf(out, "trace %s, %d lines\n", res.hash, res.lines)
		}
	}
	took := time.Since(began)
	fmt.Fprintf(out, "%s: %d seeds, %d failed, %.1f seeds/s, %.0f virtual days in %s\n", mode, n, bad, float64(n)/took.Seconds(), virtual.Hours()/24, took.Round(time.Millisecond))
	fmt.Fprintf(out, "  seen: %s\n", list(counts))
	return bad
}

func list(counts map[string]int) string {
	var out []string
	for k, v := range counts {
		out = append(out, fmt.Sprintf("%s=%d", k, v))
	}
	sort.Strings(out)
	return strings.Join(out, " ")
}

// report tells of a failing seed, with the least faults with which it still fails.
func (r *runner) report(res result, off []string, out io.Writer) {
	fmt.Fprintf(out, "FAIL %s seed %d\n", res.mode, res.seed)
	for _, f := range res.failed[:min(len(res.failed), 5)] {
		fmt.Fprintf(out, "    %s\n", f)
	}
	fmt.Fprintf(out, "  replay: %s\n", replayLine(res.seed, res.mode, off))
	less := r.shrink(res.seed, res.mode, off)
	var on []string
	for _, class := range faultClasses() {
		p := draw(res.seed, res.mode, less)
		if p.has(class) {
			on = append(on, class)
		}
	}
	fmt.Fprintf(out, "  fails with only: %s\n  replay: %s\n", strings.Join(on, " "), replayLine(res.seed, res.mode, less))
}

// shrink switches classes of fault off one by one, as long as the seed still fails.
func (r *runner) shrink(seed uint64, mode string, off []string) []string {
	less := slices.Clone(off)
	for _, class := range faultClasses() {
		p := draw(seed, mode, less)
		if !p.has(class) || mode == modeReconcile && class == faultDrop {
			continue
		}
		without := append(slices.Clone(less), class)
		if res, err := r.run(seed, mode, without, nil); err == nil && len(res.failed) > 0 {
			less = without
		}
	}
	return less
}
