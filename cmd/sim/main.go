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
	"iter"
	"os"
	"runtime/debug"
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

// command is what the flags say.
type command struct {
	mode     string
	first    uint64
	seeds    uint64
	payments int
	jobs     int
	verbose  bool
	stop     string // at the first seed that fails and says so, without shrinking it
	off      classes
	which    []string
}

func parse(args []string, out io.Writer) (c command, err error) {
	fs := flag.NewFlagSet("sim", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.Uint64Var(&c.seeds, "seeds", 100, "how many seeds of each mode")
	fs.Uint64Var(&c.first, "first", 1, "the first of them")
	one := fs.Uint64("seed", 0, "play this seed alone")
	fs.StringVar(&c.mode, "mode", "", "one of "+strings.Join(modes(), ", ")+"; default: all of them")
	fs.IntVar(&c.payments, "payments", 0, "at most so many payments (default: as the seed says)")
	fs.IntVar(&c.jobs, "jobs", 1, "how many seeds to play at a time")
	fs.BoolVar(&c.verbose, "v", false, "tell everything that happens")
	fs.StringVar(&c.stop, "stop", "", "stop at the first seed that fails and says this, without shrinking it")
	fs.Var(&c.off, "off", "a class of fault to switch off (may be repeated)")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	c.which = modes()
	if c.mode != "" {
		c.which = []string{c.mode}
		if !slices.Contains(modes(), c.mode) {
			return c, fmt.Errorf("no such mode: %s", c.mode)
		}
	}
	if *one != 0 {
		c.first, c.seeds = *one, 1
	}
	return c, nil
}

func run(args []string, out io.Writer) int {
	c, err := parse(args, out)
	if err != nil {
		fmt.Fprintln(out, err)
		return 2
	}
	r, err := newRunner(wiring{})
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	// A seed makes much garbage and keeps little: collecting less often makes the run
	// a quarter faster and takes some 100 MB.
	debug.SetGCPercent(800)
	bad, counts, began := 0, map[string]int{}, time.Now()
	for _, m := range c.which {
		bad += r.series(c, m, out, counts)
	}
	all := c.seeds * uint64(len(c.which))
	fmt.Fprintf(out, "%d seeds, %d failed, %.1f seeds/s\n", all, bad, float64(all)/time.Since(began).Seconds())
	if bad += verdict(c, counts, out); bad > 0 {
		return 1
	}
	return 0
}

// verdict is 1 for a run over enough seeds in which something never happened.
func verdict(c command, counts map[string]int, out io.Writer) int {
	missing := unseen(counts)
	if c.mode != "" || c.seeds < enough || len(c.off) > 0 || len(missing) == 0 {
		return 0
	}
	fmt.Fprintf(out, "never happened, so nothing was proved about it: %s\n", strings.Join(missing, " "))
	return 1
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
		"late_capture", "returned_unread", "stale_read", "500_after_money_moved", "proxied_503", "alert_late_money", "alert_dispute_opened", "alert_refund_failed", "alert_sweep_failing", "fail_over", "slow_store", "slept_at_write",
		"webhook_copied", "channel_down", "channel_failover", "message_answer_lost", "copies_50", "customer_left", "tab_closed", "paid_late", "partial_capture", "dispute_after_refund", "several_apps", "several_instances",
		"webhook_lost", "webhook_doubled", "webhook_late", "webhook_overtaken", "webhook_refused", "feed_followed", "status_429", "cut", "cut_after_money_moved",
		"slow_provider", "interlaced", "clock_back", "credentials_refused", "unknown_words", "settled_in_other_currency", "clocks_differ", "crash_after_payment.history_spill", "crash_after_inbox.claim", "crash_after_feed.replace", "crash_after_cursor.set", "crash_after_run.save",
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

// series plays the seeds of one mode and returns how many failed.
func (r *runner) series(c command, mode string, out io.Writer, all map[string]int) (bad int) {
	var trace io.Writer
	if c.verbose {
		trace = out
	}
	began, last := time.Now(), time.Now()
	counts := map[string]int{}
	var virtual time.Duration
	n := uint64(0)
	for res := range r.each(c, mode, trace) {
		n++
		virtual += res.lasted
		for k, v := range res.counts {
			counts[k] += v
			all[k] += v
		}
		if len(res.failed) > 0 {
			bad++
			switch {
			case c.stop == "" && bad <= maxShown:
				r.report(res, c, out)
			case c.stop != "" && strings.Contains(strings.Join(res.failed, "\n"), c.stop):
				fmt.Fprintf(out, "FAIL %s seed %d: %s\n", mode, res.seed, strings.Join(res.failed, "\n    "))
				return bad
			}
		}
		if time.Since(last) > 10*time.Second {
			last = time.Now()
			fmt.Fprintf(out, "%s: %d of %d seeds, %d failed, %.1f seeds/s\n", mode, n, c.seeds, bad, float64(n)/time.Since(began).Seconds())
		}
		if c.seeds == 1 {
			fmt.Fprintf(out, "trace %s, %d lines\n", res.hash, res.lines)
		}
	}
	took := time.Since(began)
	fmt.Fprintf(out, "%s: %d seeds, %d failed, %.1f seeds/s, %.0f virtual days in %s\n", mode, n, bad, float64(n)/took.Seconds(), virtual.Hours()/24, took.Round(time.Millisecond))
	if c.verbose || c.seeds >= enough {
		fmt.Fprintf(out, "  seen: %s\n", list(counts))
	}
	return bad
}

// each plays seeds, several at a time where that is asked for, and hands out what
// came of them in their order.
func (r *runner) each(c command, mode string, trace io.Writer) iter.Seq[result] {
	return func(yield func(result) bool) {
		slots := make([]chan result, max(c.jobs, 1)*4)
		for i := range slots {
			slots[i] = make(chan result, 1)
		}
		free := make(chan struct{}, max(c.jobs, 1))
		start := func(seed uint64) {
			free <- struct{}{}
			res, err := r.run(draw(seed, mode, c.off).limited(c.payments), seed, trace)
			if err != nil {
				res = result{seed: seed, mode: mode, failed: []string{err.Error()}}
			}
			<-free
			slots[seed%uint64(len(slots))] <- res
		}
		end, ahead := c.first+c.seeds, uint64(len(slots))
		for seed := c.first; seed < min(end, c.first+ahead); seed++ {
			go start(seed)
		}
		for seed := c.first; seed < end; seed++ {
			res := <-slots[seed%ahead]
			if next := seed + ahead; next < end {
				go start(next)
			}
			if !yield(res) {
				return
			}
		}
	}
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
func (r *runner) report(res result, c command, out io.Writer) {
	fmt.Fprintf(out, "FAIL %s seed %d\n", res.mode, res.seed)
	for _, f := range res.failed[:min(len(res.failed), 5)] {
		fmt.Fprintf(out, "    %s\n", f)
	}
	fmt.Fprintf(out, "  replay: %s\n", replayLine(res.seed, res.mode, c.off, c.payments))
	less, payments := r.shrink(res.seed, res.mode, c.off, c.payments)
	p := draw(res.seed, res.mode, less)
	var on []string
	for _, class := range faultClasses() {
		if p.has(class) {
			on = append(on, class)
		}
	}
	fmt.Fprintf(out, "  fails with only: %s\n  replay: %s\n", strings.Join(on, " "), replayLine(res.seed, res.mode, less, payments))
}

// shrink switches classes of fault off one by one, then halves the payments, as long
// as the seed still fails.
func (r *runner) shrink(seed uint64, mode string, off []string, payments int) (less []string, fewer int) {
	fails := func(off []string, payments int) bool {
		res, err := r.run(draw(seed, mode, off).limited(payments), seed, nil)
		return err == nil && len(res.failed) > 0
	}
	less = slices.Clone(off)
	for _, class := range faultClasses() {
		p := draw(seed, mode, less)
		if !p.has(class) || mode == modeReconcile && class == faultDrop {
			continue
		}
		if without := append(slices.Clone(less), class); fails(without, payments) {
			less = without
		}
	}
	fewer = payments
	for n := draw(seed, mode, less).limited(payments).payments / 2; n > 0 && fails(less, n); n /= 2 {
		fewer = n
	}
	return less, fewer
}
