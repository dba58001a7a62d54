package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func (p program) settings() *cobra.Command {
	cmd := &cobra.Command{
		Use: "settings", Short: "Read and change what can be changed while servers run, such as pausing an account",
		Long: `Settings live in the store and are in force in every process within about two
seconds. Both commands ask a running server, with the operator key in
` + operatorKeyVariable + `.`,
	}
	cmd.AddCommand(p.settingsGet(), p.settingsSet())
	return cmd
}

func (p program) settingsGet() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use: "get --server URL", Short: "Print the settings, their version and the last changes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.ask(cmd.Context(), server, http.MethodGet, "/v1/settings", nil)
		},
	}
	cmd.Flags().StringVar(&server, "server", "", "the running server's URL")
	return cmd
}

func (p program) settingsSet() *cobra.Command {
	var server, reason string
	version := int64(-1)
	cmd := &cobra.Command{
		Use:   "set --server URL --reason TEXT [--version N] SECTION JSON",
		Short: "Replace one section; null resets it",
		Long: `Replace one section of the settings as a whole, or reset it with null.

With --version, the version that get printed, nothing is changed if somebody else
changed the settings meanwhile. Without it, whatever is stored now is replaced.`,
		Example: `  trifecta settings set --server http://127.0.0.1:8080 --reason "provider incident" payments '{"paused_accounts":{"stripe-eu":{"reason":"provider incident"}}}'
  trifecta settings set --server http://127.0.0.1:8080 --reason "incident over" payments null`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !json.Valid([]byte(args[1])) {
				return errors.New("the second argument must be JSON, such as '{\"paused\":{\"reason\":\"…\"}}' or null")
			}
			if version < 0 {
				var now struct{ Version int64 }
				answer, err := p.asked(cmd.Context(), server, http.MethodGet, "/v1/settings", nil)
				if err == nil {
					err = json.Unmarshal(answer, &now)
				}
				if err != nil {
					return fmt.Errorf("read the settings: %w", err)
				}
				version = now.Version
			}
			return p.ask(cmd.Context(), server, http.MethodPut, "/v1/settings", map[string]any{
				"version": version, "reason": reason, "settings": map[string]json.RawMessage{args[0]: json.RawMessage(args[1])},
			})
		},
	}
	cmd.Flags().StringVar(&server, "server", "", "the running server's URL")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever reads the history")
	cmd.Flags().Int64Var(&version, "version", -1, "the version that was read (default: whatever is stored now)")
	return cmd
}
