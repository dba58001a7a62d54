// Command stripemock checks Stripe-shaped HTTP traffic against Stripe's own
// published OpenAPI document, API version 2023-10-16, the one stripe-go v76
// pins. It is a judge for tests and keeps no state:
//
//   - any /v1/* request is validated by stripe-mock (strict version check) and
//     answered with stripe-mock's fixture, or with its 4xx saying what is wrong;
//   - POST /_validate_response?method=GET&path=/v1/charges/ch_1[&status=200]
//     with a JSON body says whether that body is a valid answer of that
//     operation: 200 {"valid":true}, or 422 {"valid":false,"reasons":[…]};
//   - POST /_validate_object?schema=charge does the same for one object, for
//     example the one inside an event. schema defaults to the body's "object".
//
// The first line on standard output is "listening on HOST:PORT". With
// -exit-on-stdin-eof it ends when its standard input does: a test that holds the
// other end of that pipe leaves no judge behind, however it ends. It must not be
// imported by, or linked into, the product: it lives in a module of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/stripe/stripe-mock/embedded"
	"github.com/stripe/stripe-mock/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "stripemock:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, or in if that was asked for. Only the "listening on"
// line goes to out.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("stripemock", flag.ContinueOnError)
	flags.SetOutput(errOut)
	addr := flags.String("addr", "127.0.0.1:12111", "address to listen on; port 0 picks a free one")
	verbose := flags.Bool("verbose", false, "let stripe-mock print every request on standard output")
	untilEOF := flags.Bool("exit-on-stdin-eof", false, "end when standard input ends, for example because the parent died")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *untilEOF {
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		defer end()
		go func() {
			defer end()
			_, _ = io.Copy(io.Discard, in) // a read error is an end, too
		}()
	}
	if !*verbose {
		if err := silenceStdout(); err != nil {
			return err
		}
	}
	handler, err := newHandler()
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", *addr, err)
	}
	fmt.Fprintln(out, "listening on", ln.Addr())
	return serve(ctx, ln, handler)
}

func serve(ctx context.Context, ln net.Listener, handler http.Handler) error {
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// silenceStdout points the process's os.Stdout at the null device: stripe-mock
// prints each request's parameters there and has no switch for it. Our own line
// goes through the file that main took before.
func silenceStdout() error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open null device: %w", err)
	}
	os.Stdout = null
	return nil
}

// newHandler loads the embedded document and fixtures once (about 0.5 s).
func newHandler() (http.Handler, error) {
	sp, err := server.LoadSpec(embedded.OpenAPISpec, "")
	if err != nil {
		return nil, fmt.Errorf("load spec: %w", err)
	}
	fx, err := server.LoadFixtures(embedded.OpenAPIFixtures, "")
	if err != nil {
		return nil, fmt.Errorf("load fixtures: %w", err)
	}
	stub, err := server.NewStubServer(fx, sp, true, false)
	if err != nil {
		return nil, fmt.Errorf("build stub server: %w", err)
	}
	doc, err := parseDocument(embedded.OpenAPISpec)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/", stub.HandleRequest)
	mux.HandleFunc("POST /_validate_response", doc.serveResponse)
	mux.HandleFunc("POST /_validate_object", doc.serveObject)
	return mux, nil
}
