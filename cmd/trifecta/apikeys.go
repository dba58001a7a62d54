package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

func (p program) apikeyList() *cobra.Command {
	var where at
	cmd := &cobra.Command{
		Use: "list (--config FILE | --server URL)", Short: "List keys by how they begin", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if where.server != "" {
				return p.ask(cmd.Context(), where.server, http.MethodGet, "/v1/api_keys", nil)
			}
			return p.withHouse(cmd.Context(), where.config, func(h *house.House) error {
				keys, err := h.Service.ListKeys(cmd.Context())
				if err != nil {
					return err
				}
				return p.printKeys(keys)
			})
		},
	}
	where.flags(cmd)
	return cmd
}

func (p program) apikeyRevoke() *cobra.Command {
	var where at
	cmd := &cobra.Command{
		Use:   "revoke (--config FILE | --server URL) KEY",
		Short: "End a key, named by its id or how it begins",
		Long: `End a key: it opens nothing from the next request on. Name it by its id, or by
the beginning that list prints and logs show. Repeating it is harmless.`,
		Example: "  trifecta apikey revoke --config trifecta.yaml tk_live_4QX2RB",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if where.server != "" {
				return p.ask(cmd.Context(), where.server, http.MethodDelete, "/v1/api_keys/"+url.PathEscape(args[0]), nil)
			}
			return p.withHouse(cmd.Context(), where.config, func(h *house.House) error {
				k, err := h.Service.RevokeKey(cmd.Context(), args[0], payment.Actor{Type: payment.ActorOperator, ID: "cli"})
				if payment.CodeOf(err) == payment.CodeNotFound {
					return fmt.Errorf("no key has the id or the beginning %q; trifecta apikey list shows both", args[0])
				}
				if err != nil {
					return err
				}
				return p.printKeys([]gateway.Key{k})
			})
		},
	}
	where.flags(cmd)
	return cmd
}

func (p program) printKeys(keys []gateway.Key) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tBEGINS\tFOR\tSCOPES\tMADE\tREVOKED")
	for _, k := range keys {
		who, revoked := k.App+" ("+string(k.Mode)+")", "-"
		if k.Operator {
			who = "operator"
		}
		if !k.RevokedAt.IsZero() {
			revoked = k.RevokedAt.Format(time.RFC3339) + " by " + strings.TrimSuffix(k.RevokedBy.Type+" "+k.RevokedBy.ID, " ")
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID(), k.Prefix, who, strings.Join(k.Scopes, ","), k.CreatedAt.Format(time.RFC3339), revoked)
	}
	return w.Flush()
}
