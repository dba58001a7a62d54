package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// drain is how long requests under way may take to finish at shutdown.
const drain = 10 * time.Second

// site is one listener with what it serves.
type site struct {
	name     string
	listener net.Listener
	handler  http.Handler
}

// listen opens a TCP listener and says which flag to change if it can't.
func listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("can't listen on %s (change it with %s): %w", addr, flag, err)
	}
	return l, nil
}

// serveAll serves every site and runs every worker until ctx ends, then stops
// listening first, lets requests under way finish, and stops the workers last.
func serveAll(ctx context.Context, log *slog.Logger, sites []site, workers func(context.Context) error) error {
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	group, failed := errgroup.WithContext(ctx)
	servers := make([]*http.Server, len(sites))
	for i, s := range sites {
		servers[i] = server(s.handler, log)
		group.Go(func() error {
			if err := servers[i].Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("%s listener: %w", s.name, err)
			}
			return nil
		})
	}
	worked := make(chan error, 1)
	go func() { worked <- workers(workCtx) }()
	group.Go(func() error {
		<-failed.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		var problems []error
		for i := range servers {
			if err := servers[i].Shutdown(stop); err != nil {
				problems = append(problems, fmt.Errorf("%s listener did not drain: %w", sites[i].name, err), servers[i].Close())
			}
		}
		return errors.Join(problems...)
	})
	err := group.Wait()
	stopWork()
	return errors.Join(err, <-worked)
}
