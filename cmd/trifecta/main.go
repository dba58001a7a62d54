// Command trifecta is the one binary: the gateway, the sandbox it is tried out
// against, and the tools of its operators. main only turns signals and errors
// into an exit code; run.go is the program.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
