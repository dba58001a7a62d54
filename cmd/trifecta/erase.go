package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// erasure is an erasure as the API tells it.
type erasure struct {
	ID          string         `json:"id,omitempty"`
	State       string         `json:"state,omitempty"`
	Found       int64          `json:"found"`
	Pending     int64          `json:"pending"`
	Waiting     []string       `json:"waiting"`
	Left        int64          `json:"left"`
	LeftIn      []string       `json:"left_in"`
	Collections []erasureCount `json:"collections"`
}

type erasureCount struct {
	Collection string `json:"collection"`
	Scanned    int64  `json:"scanned"`
	Erased     int64  `json:"erased"`
	Left       int64  `json:"left"`
	Elsewhere  int64  `json:"elsewhere"`
	Unreadable int64  `json:"unreadable"`
}

// erasureOrder is the order as the API takes it.
type erasureOrder struct {
	App      string `json:"app"`
	Ref      string `json:"ref,omitempty"`
	Email    string `json:"email,omitempty"`
	Metadata bool   `json:"metadata,omitempty"`
	Reason   string `json:"reason"`
}

func (p program) erase() *cobra.Command {
	cmd := &cobra.Command{Use: "erase", Short: "Erase personal data, and prove that it is gone"}
	cmd.AddCommand(p.eraseCustomer())
	return cmd
}

func (p program) eraseCustomer() *cobra.Command {
	var where at
	var order erasureOrder
	cmd := &cobra.Command{
		Use:   "customer (--config FILE | --server URL) --app NAME [--ref R] [--email E] --reason TEXT [--metadata]",
		Short: "Overwrite a customer's name and address wherever they are kept",
		Long: `Overwrite a customer's name and e-mail address in all their payments, in the
events, webhook bodies and alerts that repeat them, and then read everything that
is kept and count what is left of them. Money, ids, references and history stay,
and the history says who had it erased and why.

Payments that are not over yet are erased once they are; the server goes on by
itself. Name the customer by --ref, --email, or both. The exit code is 1 while
anything is left. Repeating it is harmless.`,
		Example: "  trifecta erase customer --config trifecta.yaml --app shop --ref cust-7 --metadata --reason \"request of 3 May\"",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case order.App == "" || order.Reason == "":
				return errors.New("say whose customer it is (--app) and why they are erased (--reason)")
			case order.Ref == "" && order.Email == "":
				return errors.New("name the customer: --ref, --email, or both")
			}
			if where.server != "" {
				return p.eraseAtServer(cmd.Context(), where.server, order)
			}
			return p.withHouse(cmd.Context(), where.config, func(h *house.House) error { return p.eraseHere(cmd.Context(), h, order) })
		},
	}
	where.flags(cmd)
	cmd.Flags().StringVar(&order.App, "app", "", "the product app whose customer it is")
	cmd.Flags().StringVar(&order.Ref, "ref", "", "the app's id of the customer")
	cmd.Flags().StringVar(&order.Email, "email", "", "the customer's e-mail address; all payments are read")
	cmd.Flags().BoolVar(&order.Metadata, "metadata", false, "erase descriptions and metadata too")
	cmd.Flags().StringVar(&order.Reason, "reason", "", "why; it is kept for ever, so it should say nothing about the person")
	return cmd
}

// eraseHere does the work itself.
func (p program) eraseHere(ctx context.Context, h *house.House, order erasureOrder) error {
	e, _, err := h.OrderErasure(ctx, store.Erasure{
		ID: "ers_" + rand.Text(), App: order.App, Ref: order.Ref, Email: order.Email, Texts: order.Metadata, Reason: order.Reason,
		By: payment.Actor{Type: payment.ActorOperator, ID: "cli"},
	})
	for err == nil && e.State == store.ErasureRunning {
		if _, _, err = h.Eraser.Step(ctx); err == nil {
			e, err = h.Erasures.Get(ctx, e.ID)
		}
	}
	if err != nil {
		return err
	}
	out := erasure{ID: e.ID, State: e.State, Found: e.Found, Pending: e.Pending, Waiting: e.Waiting, Left: e.Left(), LeftIn: e.LeftIn}
	for _, k := range store.Keepings() {
		if c, ok := e.Counts[k.Collection]; ok {
			out.Collections = append(out.Collections, erasureCount{k.Collection, c.Scanned, c.Erased, c.Left, c.Elsewhere, c.Unreadable})
		}
	}
	return p.printErasure(out)
}

// pollEvery is how often a running server is asked how far it is.
const pollEvery = 500 * time.Millisecond

// eraseAtServer orders it from a running server and waits.
func (p program) eraseAtServer(ctx context.Context, server string, order erasureOrder) error {
	answer, err := p.asked(ctx, server, http.MethodPost, "/v1/erasures", order)
	var e erasure
	for {
		if err != nil {
			return err
		}
		if err := json.Unmarshal(answer, &e); err != nil {
			return fmt.Errorf("the server's answer: %w", err)
		}
		if e.State != store.ErasureRunning {
			return p.printErasure(e)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server goes on with it: see /v1/erasures/%s: %w", e.ID, ctx.Err())
		case <-time.After(pollEvery):
		}
		answer, err = p.asked(ctx, server, http.MethodGet, "/v1/erasures/"+e.ID, nil)
	}
}

// printErasure prints the proof; what is left is an error.
func (p program) printErasure(e erasure) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "COLLECTION\tSCANNED\tERASED\tLEFT\tELSEWHERE\tUNREADABLE")
	for _, c := range e.Collections {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", c.Collection, c.Scanned, c.Erased, c.Left, c.Elsewhere, c.Unreadable)
	}
	_, _ = fmt.Fprintf(w, "\n%s: %s, %d payments of the customer, %d waited for, %d records left\n", e.ID, e.State, e.Found, e.Pending, e.Left)
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case e.Pending > 0:
		return fmt.Errorf("%d payments or webhooks are not over yet (%v); they are erased once they are", e.Pending, e.Waiting)
	case e.Left > 0:
		return stillHeld(e)
	}
	return nil
}

// stillHeld says where the customer is left, and what helps.
func stillHeld(e erasure) error {
	more, forgot, records := "", "", int64(0)
	for _, place := range e.LeftIn {
		if strings.HasPrefix(place, "erasures/") { // no record of the customer's, but why others count as left
			forgot = "\nWhat an older program found and forgot (erasures/...) ends with --metadata, or when you say in its record what that was; see the same place"
		} else {
			records++
		}
	}
	if records < e.Left {
		more = " and perhaps more" // several of them may stand in one page of a feed
	}
	return fmt.Errorf("%d records still hold the customer or can't be read: %s%s\n"+
		"Erase with --ref, --email and --metadata in one order. What is left then is a text that no erasure rewrites, such as the reason of a decision:\n"+
		"docs/privacy.md, \"What is left\", says how to rewrite it. Then run this command again%s", e.Left, strings.Join(e.LeftIn, ", "), more, forgot)
}
