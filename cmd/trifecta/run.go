package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/store"
)

// program is what every command gets: its surroundings, nothing global.
type program struct {
	environ  []string
	out, err io.Writer
}

// run is the program: arguments in, exit code out.
func run(ctx context.Context, args, environ []string, out, errOut io.Writer) int {
	p := program{environ: environ, out: out, err: errOut}
	root := p.root() //nolint:contextcheck // commands get theirs from ExecuteContext
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	if cmd, err := root.ExecuteContextC(ctx); err != nil {
		if own, ok := errors.AsType[exitError](err); ok {
			return own.code
		}
		if errors.Is(err, context.Canceled) && ctx.Err() != nil { // a server that is told to stop ends without an error
			err = fmt.Errorf("stopped before it was done: %w", err)
		}
		_, _ = fmt.Fprintln(errOut, "trifecta:", err)
		if text := advice(cmd, err); text != "" {
			_, _ = fmt.Fprintln(errOut, text)
		}
		return 1
	}
	return 0
}

// advice says what to do about an error whose text can't know: it was written in
// a room that knows no commands.
func advice(cmd *cobra.Command, err error) string {
	switch {
	case house.InUse(err) && cmd.Flags().Lookup("server") != nil:
		return "Stop that process first, or let it do this: --server URL in place of --config FILE."
	case house.InUse(err):
		return "Stop that process first. Only one may have an SQLite file; MongoDB is for several."
	case errors.Is(err, store.ErrUnavailable) && house.OnFile(err):
		return "Check what the configuration says under store: the path, who may read and write there, the space on the disk, and that it is a file of Trifecta's."
	case errors.Is(err, store.ErrUnavailable):
		return "Check what the configuration says under store: its address, the network, the credentials, and that the database is up and has a primary."
	case strings.HasPrefix(err.Error(), "accepts "): // cobra's words for a wrong number of arguments
		return "Usage: " + cmd.UseLine()
	case errors.Is(err, fs.ErrPermission):
		return "Run it as a user who may, or name another place."
	}
	return ""
}

func (p program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "trifecta",
		Short: "One payments API over Stripe and PayPal that never loses a cent",
		Long: `Trifecta takes payments for your apps through Stripe and PayPal, behind one API.

Your app creates a payment and sends its customer to the checkout URL it gets
back. Three independent feeds (the customer's return, verified webhooks, and
scheduled reconciliation) keep the record equal to the provider's truth.

Start here:
  trifecta demo      everything in one process, nothing to configure: a shop, the
                     API, and a sandbox that plays Stripe and PayPal
  trifecta serve     the gateway, with your configuration
  trifecta sandbox   the stand-ins alone, for the tests of your own app
  trifecta doctor    checks a configuration and everything it names, before you serve`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(p.demo(), p.serve(), p.sandbox(), p.apikey(), p.reconcile(), p.webhooks(), p.alerts(), p.migrate(), p.doctor(), p.settings(), p.erase(), p.encryption(), p.version())
	for _, group := range root.Commands() {
		if group.HasSubCommands() {
			group.DisableFlagsInUseLine, group.Args, group.RunE = true, cobra.ArbitraryArgs, onlyHolds
		}
	}
	return root
}

// onlyHolds is what a command does that only holds others. Without it cobra prints the help and succeeds when it does not
// know the word after it, so that a script with "apikey revok" believes that the key has ended.
func onlyHolds(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return fmt.Errorf("unknown command %q for %q; see %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())
}

func (p program) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version and the versions of the SDKs inside", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return errors.New("this binary carries no build information")
			}
			_, err := fmt.Fprintf(p.out, "trifecta %s (%s)\n", info.Main.Version, info.GoVersion)
			for _, dep := range info.Deps {
				switch dep.Path {
				case "github.com/stripe/stripe-go/v76", "github.com/plutov/paypal/v4", "modernc.org/sqlite":
					_, err = fmt.Fprintf(p.out, "  %s %s\n", dep.Path, dep.Version)
				}
			}
			return err
		},
	}
}

// logger writes JSON lines, or readable ones for the demo.
func (p program) logger(readable bool, level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if readable {
		return slog.New(slog.NewTextHandler(p.err, opts))
	}
	return slog.New(slog.NewJSONHandler(p.err, opts))
}

// server is an HTTP server with the limits every listener of ours has.
func server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: closeChunked(hearOut(h)), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 60 * time.Second, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// maxUnheard is how much of a body that its handler left unread is taken in and dropped
// before the answer goes out, in bytes. ReadTimeout bounds the time.
const maxUnheard = 16 << 20

// hearOut reads what a handler has left of a body. Most clients look at no answer before
// they have sent everything: net/http would take 256 KiB more and cut them off there, and
// who sent too much, or evidence without the right to, would see a broken connection
// where the answer is 413 or 403 (RFC 9112, section 9.6). Who waits to be asked for the
// body has it spared; who announces more than is taken in is cut off.
func hearOut(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		if r.ContentLength <= maxUnheard && r.Header.Get("Expect") == "" {
			_, _ = io.CopyN(io.Discard, r.Body, maxUnheard) // whatever ends it: the answer is made
		}
	})
}

// closeChunked ends the connection after a request with a Transfer-Encoding. net/http
// drops a Content-Length beside it, without a word; a proxy that counted by the other of
// the two would take the rest for the next caller's request (RFC 9112, section 6.1).
func closeChunked(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}
