// Package doctor looks at a configuration and at everything that it names
// (provider accounts, webhook registrations, the store), and says of each finding
// what to do. It must not change anything, except for a probe in the store that it
// takes away again, and must not print a secret.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
)

// Mark is how bad a finding is.
type Mark string

// The marks, as printed.
const (
	OK   Mark = "ok"
	Warn Mark = "warn"
	Fail Mark = "FAIL"
)

// Groups of findings, in the order in which they are printed.
const (
	groupConfig   = "configuration"
	groupStore    = "store"
	groupAccounts = "providers"
	groupWebhooks = "webhooks"
)

var groups = []string{groupConfig, groupStore, groupAccounts, groupWebhooks}

// Finding is one thing that was looked at.
type Finding struct {
	Group string `json:"group"`
	// Check names what was looked at, the same at every run: "webhooks.events".
	Check string `json:"check"`
	// Subject is which account, collection or key it is about; may be empty.
	Subject string `json:"subject,omitempty"`
	Mark    Mark   `json:"mark"`
	// What was found, and the Fix if it is not ok.
	What string `json:"what"`
	Fix  string `json:"fix,omitempty"`
}

// Report is every finding, in order.
type Report struct {
	Findings []Finding `json:"findings"`
	Warnings int       `json:"warnings"`
	Failures int       `json:"failures"`
}

// Options are what to look at. Config and ConfigErr come from config.Load.
type Options struct {
	Config    config.Config
	ConfigErr error
	// Usable says that Config can be looked at although there is a ConfigErr: only what
	// registering webhooks gives is missing.
	Usable bool
	File   string // the configuration file, may be empty
	// Strange are variables of our prefix that set nothing (config.Strange).
	Strange []string
	// Accounts are the configured ones; AccountsErr is why there are none.
	Accounts    *providers.Registry
	AccountsErr error
	// Engine is the open store; nil if another process has it (InUse), it is Absent, or
	// StoreErr says why not.
	Engine   store.Engine
	InUse    bool
	Absent   bool // it is an SQLite file that isn't there
	StoreErr error
	// Clock is the program's: the machine's, or the sandbox's with test_clock.
	Clock func() time.Time
	// Owner names this process run.
	Owner string
	// Client asks whether public_url is reachable.
	Client *http.Client
	// Limit bounds each check; 0: 10 s.
	Limit time.Duration
	// Progress hears what is being looked at; may be nil.
	Progress func(check string)
}

// checkup is one run.
type checkup struct {
	Options
	report Report
}

// Run looks at everything. It returns early only when ctx ends.
func Run(ctx context.Context, o Options) Report {
	if o.Limit <= 0 {
		o.Limit = 10 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	c := &checkup{Options: o}
	c.all(ctx)
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int {
		return cmp.Compare(slices.Index(groups, a.Group), slices.Index(groups, b.Group))
	})
	return c.report
}

func (c *checkup) all(ctx context.Context) {
	if c.ConfigErr != nil {
		c.faults()
	}
	if c.ConfigErr != nil && !c.Usable {
		return
	}
	c.configuration(ctx)
	c.store(ctx)
	if c.AccountsErr != nil {
		c.add(groupAccounts, "accounts", "", Fail, c.AccountsErr.Error(), "Put right what the message names")
		return
	}
	for _, a := range c.Config.Accounts {
		if account, ok := c.Accounts.Account(a.Name); ok {
			c.account(ctx, a, account)
		}
	}
}

// add notes a finding.
func (c *checkup) add(group, check, subject string, mark Mark, what, fix string) {
	switch mark {
	case Warn:
		c.report.Warnings++
	case Fail:
		c.report.Failures++
	case OK:
		fix = ""
	}
	c.report.Findings = append(c.report.Findings, Finding{Group: group, Check: check, Subject: subject, Mark: mark, What: what, Fix: fix})
}

// bounded runs one check under its time limit.
func (c *checkup) bounded(ctx context.Context, what string, fn func(context.Context) error) error {
	c.Progress(what)
	ctx, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	return fn(ctx)
}

// faults turns a refused configuration into findings.
func (c *checkup) faults() {
	var all *config.Error
	if !errors.As(c.ConfigErr, &all) {
		c.add(groupConfig, "config.load", c.File, Fail, c.ConfigErr.Error(), "Check the path")
		return
	}
	for _, f := range all.Faults {
		path, fix := f.Path, f.Fix
		if c.Usable {
			fix = "Run trifecta webhooks register --config FILE, and add what it prints"
		}
		f.Path, f.Fix = "", ""
		c.add(groupConfig, "config.valid", path, Fail, f.String(), fix)
	}
	if c.Usable {
		return
	}
	c.add(groupConfig, "config.rest", "", Warn, "nothing else was looked at", "Put the configuration right, then run this again")
}

const (
	skewWarn = 5 * time.Second
	skewFail = time.Minute
)

// skew compares a clock that was asked between before and after with ours.
func (c *checkup) skew(group, subject, whose string, theirs, before, after time.Time) {
	if theirs.IsZero() {
		return
	}
	// HTTP dates are whole seconds, cut off: theirs is up to a second later than said.
	off := time.Duration(0)
	switch {
	case theirs.Add(time.Second).Before(before):
		off = before.Sub(theirs.Add(time.Second))
	case theirs.After(after):
		off = theirs.Sub(after)
	}
	mark, text := OK, fmt.Sprintf("this machine's clock agrees with %s", whose)
	if off > skewWarn {
		mark, text = Warn, fmt.Sprintf("this machine's clock is %s off %s's", off.Round(time.Second), whose)
	}
	if off > skewFail {
		mark = Fail
	}
	c.add(group, "clock", subject, mark, text, "Let this machine follow a time server (chrony, systemd-timesyncd). Webhook signatures older than 5 minutes are refused, and leases and deadlines are counted by this clock")
}
