// Command ferretdb runs a command beside FerretDB on SQLite, an independent
// engine that speaks MongoDB's protocol: it sets TRIFECTA_TEST_MONGODB_URI and
// exits with the command's result. It lives in a module of its own, so that the
// product depends on none of this. See make test-ferretdb.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		os.Exit(1)
	}
}

func run(command []string) error {
	if len(command) == 0 {
		return errors.New("which command?")
	}
	dir, err := os.MkdirTemp("", "ferretdb-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := ferretdb.New(&ferretdb.Config{
		Listener: ferretdb.ListenerConfig{TCP: "127.0.0.1:0"}, Handler: "sqlite", SQLiteURL: "file:" + dir + "/",
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		db.Run(ctx)
		close(ended)
	}()
	defer func() {
		stop()
		<-ended
	}()
	// One connection: its compare-and-swap is not atomic across several.
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Env = append(os.Environ(), "TRIFECTA_TEST_MONGODB_URI="+db.MongoDBURI()+"?maxPoolSize=1")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}
