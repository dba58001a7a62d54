package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

func (p program) webhooks() *cobra.Command {
	cmd := &cobra.Command{
		Use: "webhooks", Short: "Register webhooks at the providers; see those that could not be worked on, and work on them again",
		Long: `Every verified webhook is stored before the provider hears 200. One that can't be
worked on backs off, and in the end is dead or parked, with an alert. list and replay
open the store themselves: with SQLite, stop the server first.`,
	}
	cmd.AddCommand(p.webhooksRegister(), p.webhooksList(), p.webhooksReplay())
	return cmd
}

func (p program) webhooksList() *cobra.Command {
	var file, state string
	cmd := &cobra.Command{
		Use: "list --config FILE", Short: "Print the latest webhooks and how much waits", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state != "" && !slices.Contains(inbox.States(), inbox.State(state)) {
				return fmt.Errorf("--state: %q is not a state; the states are %s", state, joined(inbox.States()))
			}
			return p.withHouse(cmd.Context(), file, func(h *house.House) error {
				backlog, err := h.Inbox.Backlog(cmd.Context())
				if err != nil {
					return err
				}
				events, _, err := h.Inbox.List(cmd.Context(), inbox.Filter{State: inbox.State(state), Limit: 50})
				if err != nil {
					return err
				}
				w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
				_, _ = fmt.Fprintf(w, "%d pending, %d parked, %d dead\n", backlog.Pending, backlog.Parked, backlog.Dead)
				_, _ = fmt.Fprintln(w, "RECEIVED\tACCOUNT\tTYPE\tSTATE\tTRIES\tID")
				for _, e := range events {
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", e.ReceivedAt.Format(time.RFC3339), e.Account, e.Event.Type, e.State, e.Tries, e.ID)
				}
				return w.Flush()
			})
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (YAML)")
	cmd.Flags().StringVar(&state, "state", "", "only those in this state: "+joined(inbox.States()))
	return cmd
}

func joined(states []inbox.State) string {
	names := make([]string, len(states))
	for i, s := range states {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

func (p program) webhooksReplay() *cobra.Command {
	var file, id, state string
	cmd := &cobra.Command{
		Use:   "replay --config FILE (--id ID | --state dead|parked)",
		Short: "Queue webhooks again, as if they had just come in, and work on them",
		Long: `Queue webhooks again, as if they had just come in, work on them, and say what became
of each. The exit code is 1 if any of them is not done afterwards.`,
		Example: "  trifecta webhooks replay --config trifecta.yaml --state dead",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (id == "") == (state == "") {
				return errors.New("say what to replay: --id ID, or --state dead or parked")
			}
			return p.withHouse(cmd.Context(), file, func(h *house.House) error {
				ids := []string{id}
				var err error
				if id != "" {
					_, err = h.Inbox.Replay(cmd.Context(), id)
				} else {
					ids, err = h.Inbox.ReplayNamed(cmd.Context(), inbox.Filter{State: inbox.State(state)})
				}
				if err != nil && (id != "" || len(ids) == 0) {
					return err
				}
				workErr := p.workInbox(cmd.Context(), h)
				return errors.Join(err, p.tellReplayed(cmd.Context(), h, ids), workErr)
			})
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (YAML)")
	cmd.Flags().StringVar(&id, "id", "", "one webhook, by the id that list prints")
	cmd.Flags().StringVar(&state, "state", "", "all that are dead, or all that are parked")
	return cmd
}

// workInbox works on what is due until nothing is. One that fails stops no other.
func (p program) workInbox(ctx context.Context, h *house.House) error {
	total := 0
	var problem error
	for range 1000 {
		did, _, err := h.Inbox.Step(ctx)
		if err != nil {
			problem = err // the last one's: each step meets the same events
		}
		if total += did; did == 0 {
			break
		}
		_, _ = fmt.Fprintf(p.err, "\r%d worked on", total)
	}
	return problem
}

// outcomes counts what became of webhooks, and why those that are not done are not.
type outcomes struct {
	states  map[inbox.State]int
	reasons map[string]int
}

func (o outcomes) add(r inbox.Record) {
	o.states[r.State]++
	switch {
	case r.State == inbox.Done || r.State == inbox.Irrelevant:
	case r.Reason == "":
		o.reasons["not worked on yet"]++
	default:
		o.reasons[r.Reason]++
	}
}

// err is nil if all are done.
func (o outcomes) err() error {
	left := 0
	var why []string
	for _, reason := range sortedKeys(o.reasons) {
		left += o.reasons[reason]
		why = append(why, fmt.Sprintf("%d × %s", o.reasons[reason], reason))
	}
	if left == 0 {
		return nil
	}
	return fmt.Errorf("%d are not done: %s. A server tries pending ones again by itself; for the others fix the cause, then run this again", left, strings.Join(why, ", "))
}

// tellReplayed prints what became of the webhooks that were queued again. That they were
// worked on says nothing: each may have failed as it did before.
func (p program) tellReplayed(ctx context.Context, h *house.House, ids []string) error {
	o := outcomes{states: map[inbox.State]int{}, reasons: map[string]int{}}
	for _, id := range ids {
		r, err := h.Inbox.Get(ctx, id)
		if err != nil {
			return fmt.Errorf("see what became of %s: %w", id, err)
		}
		o.add(r)
	}
	_, _ = fmt.Fprintf(p.out, "%d queued again: %d done, %d pending, %d parked, %d dead\n", len(ids),
		o.states[inbox.Done]+o.states[inbox.Irrelevant], o.states[inbox.Pending], o.states[inbox.Parked], o.states[inbox.Dead])
	return o.err()
}
