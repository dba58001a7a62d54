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
		Use:     "replay --config FILE (--id ID | --state dead|parked)",
		Short:   "Queue webhooks again, as if they had just come in, and work on them",
		Example: "  trifecta webhooks replay --config trifecta.yaml --state dead",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (id == "") == (state == "") {
				return errors.New("say what to replay: --id ID, or --state dead or parked")
			}
			return p.withHouse(cmd.Context(), file, func(h *house.House) error {
				n := 1
				var err error
				if id != "" {
					_, err = h.Inbox.Replay(cmd.Context(), id)
				} else {
					n, err = h.Inbox.ReplayAll(cmd.Context(), inbox.Filter{State: inbox.State(state)})
				}
				if err != nil && n == 0 || id != "" && err != nil {
					return err
				}
				worked, workErr := p.workInbox(cmd.Context(), h)
				_, _ = fmt.Fprintf(p.out, "%d queued again, %d worked on\n", n, worked)
				return errors.Join(err, workErr)
			})
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (YAML)")
	cmd.Flags().StringVar(&id, "id", "", "one webhook, by the id that list prints")
	cmd.Flags().StringVar(&state, "state", "", "all that are dead, or all that are parked")
	return cmd
}

// workInbox works on what is due until nothing is.
func (p program) workInbox(ctx context.Context, h *house.House) (int, error) {
	total := 0
	for range 1000 {
		did, _, err := h.Inbox.Step(ctx)
		total += did
		if err != nil || did == 0 {
			return total, err
		}
		_, _ = fmt.Fprintf(p.err, "\r%d worked on", total)
	}
	return total, nil
}
