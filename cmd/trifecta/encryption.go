package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/store"
)

func (p program) encryption() *cobra.Command {
	cmd := &cobra.Command{
		Use: "encryption", Short: "See under which keys personal data is sealed, and rotate them",
		Long: `Personal data and secrets are sealed in the store under the active key of the
configuration. To rotate: add a new key, make it active, run "rotate", and drop the
old key when nothing is left under it.`,
	}
	cmd.AddCommand(p.encryptionCommand("status", "Count the records under each key", false),
		p.encryptionCommand("rotate", "Bring every record under the active key, then count", true))
	return cmd
}

func (p program) encryptionCommand(name, short string, write bool) *cobra.Command {
	var where at
	cmd := &cobra.Command{
		Use: name + " (--config FILE | --server URL)", Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case where.server != "" && write:
				return p.ask(cmd.Context(), where.server, http.MethodPost, "/v1/encryption/rotate", map[string]any{})
			case where.server != "":
				return p.ask(cmd.Context(), where.server, http.MethodGet, "/v1/encryption", nil)
			}
			return p.withHouse(cmd.Context(), where.config, func(h *house.House) error { return p.reseal(cmd.Context(), h, write) })
		},
	}
	where.flags(cmd)
	return cmd
}

// reseal works through a round, or only says how far the last one got.
func (p program) reseal(ctx context.Context, h *house.House, write bool) error {
	if write {
		if err := h.Resealer.Restart(ctx); err != nil {
			return err
		}
	}
	s, err := h.Resealer.State(ctx)
	for write && err == nil && s.Phase != store.ResealDone && s.Phase != store.ResealOff {
		did := 0
		if did, _, err = h.Resealer.Step(ctx); err == nil {
			s, err = h.Resealer.State(ctx)
		}
		if err == nil && did == 0 && s.Phase != store.ResealDone {
			err = errors.New("a server with another active key, or of another version, began a round of its own meanwhile: restart every server with this configuration and run this again")
		}
	}
	if err != nil {
		return err
	}
	if s.Phase == store.ResealOff {
		if write {
			return errors.New("no encryption keys are configured, so nothing was rotated: personal data is stored in the clear")
		}
		_, err := fmt.Fprintln(p.out, "no encryption keys are configured: personal data is stored in the clear")
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "COLLECTION\tKEY\tRECORDS")
	for _, coll := range sortedKeys(s.Records) {
		for _, key := range sortedKeys(s.Records[coll]) {
			shown := key
			if key == "" {
				shown = "(in the clear)"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%d\n", coll, shown, s.Records[coll][key])
		}
	}
	_, _ = fmt.Fprintf(w, "\nactive key %s, %s: %d rewritten, %d failed, %d left under other keys\n", s.Active, s.Phase, s.Written, s.Failed, s.Left())
	if err := w.Flush(); err != nil {
		return err
	}
	if s.Failed > 0 || s.Left() > 0 {
		return fmt.Errorf("some records are not under the active key: keep the others configured. The last problem: %s", s.Problem)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
