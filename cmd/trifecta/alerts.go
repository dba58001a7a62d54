package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway/alerts"
)

func (p program) alerts() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alerts", Short: "Try the alert channels; list alerts, acknowledge, snooze and resolve them",
		Long: `An alert is a record of one incident (docs/alerts.md lists the kinds). test needs the
configuration only; the others ask a running server, with an operator key in
` + operatorKeyVariable + `.`,
	}
	cmd.AddCommand(p.alertsTest(), p.alertsList(), p.alertsSettle("ack", "Say that somebody looks after an alert: nothing more is sent about it"),
		p.alertsSnooze(), p.alertsSettle("resolve", "Say that an alert is over"))
	return cmd
}

func (p program) alertsTest() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "test --config FILE", Short: "Send one message to each configured channel, and say what happened", Args: cobra.NoArgs,
		Example: "  trifecta alerts test --config trifecta.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(config.Options{File: file, Environ: p.environ})
			if err != nil {
				return fmt.Errorf("the configuration is refused:\n%w", err)
			}
			if len(cfg.Alerts.Channels) == 0 {
				return errors.New("no channel is configured; docs/trifecta.example.yaml shows how, under alerts")
			}
			d, err := house.Dispatcher(house.Options{Config: cfg, Clock: time.Now, Wall: time.Now, Logger: p.logger(true, slog.LevelError)}, nil, nil)
			if err != nil {
				return err
			}
			w, failed := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0), 0
			for _, r := range d.Test(cmd.Context()) {
				said := "taken"
				if r.Err != nil {
					failed++
					said = "FAILED: " + alerts.Clean(r.Err.Error(), 300)
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\n", r.Channel, said)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d channels did not take the message", failed, len(cfg.Alerts.Channels))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (YAML)")
	return cmd
}

func (p program) alertsList() *cobra.Command {
	var server, state string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "Print alerts, last seen first", Args: cobra.NoArgs,
		Example: "  trifecta alerts list --state open",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			if state != "" {
				q.Set("state", state)
			}
			return p.ask(cmd.Context(), server, http.MethodGet, "/v1/alerts?"+q.Encode(), nil)
		},
	}
	cmd.Flags().StringVar(&server, "server", "http://127.0.0.1:8080", "the server to ask")
	cmd.Flags().StringVar(&state, "state", "", "only those in this state: open, acked, snoozed or resolved")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many, at most 100")
	return cmd
}

func (p program) alertsSettle(verb, short string) *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use: verb + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.ask(cmd.Context(), server, http.MethodPost, "/v1/alerts/"+url.PathEscape(args[0])+"/"+verb, map[string]any{})
		},
	}
	cmd.Flags().StringVar(&server, "server", "http://127.0.0.1:8080", "the server to ask")
	return cmd
}

func (p program) alertsSnooze() *cobra.Command {
	var server string
	var length time.Duration
	cmd := &cobra.Command{
		Use: "snooze ID", Short: "Tell an alert again when a time is over, or when it becomes critical", Args: cobra.ExactArgs(1),
		Example: "  trifecta alerts snooze inc_e4j7s3mftajbbrercf2dvawpls --for 8h",
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.ask(cmd.Context(), server, http.MethodPost, "/v1/alerts/"+url.PathEscape(args[0])+"/snooze", map[string]any{"seconds": int64(length / time.Second)})
		},
	}
	cmd.Flags().StringVar(&server, "server", "http://127.0.0.1:8080", "the server to ask")
	cmd.Flags().DurationVar(&length, "for", 24*time.Hour, "how long, from 1m to 720h")
	return cmd
}
