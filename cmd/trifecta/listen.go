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

// The stages of a shutdown, counted from the signal. Orchestrators kill after 10 s
// or more, so that all of it, closing the store included, fits into ten.
const (
	// cutAfter is how long requests and workers may wait for a provider. Calls still
	// under way are then cut: their outcome is unknown, is stored as such, and is found
	// out by another process or at the next start.
	cutAfter = 6 * time.Second
	// drain is how long requests under way may take to be answered.
	drain = 8 * time.Second
	// giveUp is how long workers may take to stop.
	giveUp = 8500 * time.Millisecond
)

// site is one listener with what it serves.
type site struct {
	name     string
	listener net.Listener
	handler  http.Handler
	last     bool // stays until the others have drained: readiness is asked for there
	// standIn marks the sandbox's providers, which keep a connection after a chunked
	// request as the real ones do: stripe-go sends nothing else.
	standIn bool
}

// running is what serveAll serves and works on.
type running struct {
	sites   []site
	workers func(context.Context) error
	// stopping is called as soon as it shall stop, cut when provider calls may not
	// go on. nil: nothing.
	stopping, cut func()
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

// serveAll serves every site and runs every worker until ctx ends or a listener
// fails. Then no connection is accepted and no work begun any more, what is under
// way is finished, and after cutAfter it is cut.
func serveAll(ctx context.Context, log *slog.Logger, r running) error {
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	group, failed := errgroup.WithContext(ctx)
	servers := make([]*http.Server, len(r.sites))
	for i, s := range r.sites {
		servers[i] = server(s.handler, log)
		if s.standIn {
			servers[i].Handler = s.handler
		}
		group.Go(func() error {
			if err := servers[i].Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("%s listener: %w", s.name, err)
			}
			return nil
		})
	}
	worked := make(chan error, 1)
	go func() { worked <- r.workers(workCtx) }()
	<-failed.Done()
	begun := time.Now()
	log.InfoContext(ctx, "stopping")
	if r.stopping != nil {
		r.stopping()
	}
	stopWork()
	if r.cut != nil {
		defer time.AfterFunc(cutAfter, r.cut).Stop()
	}
	drained := r.shutdown(ctx, servers)
	err := errors.Join(group.Wait(), drained)
	patience := time.NewTimer(giveUp - time.Since(begun))
	defer patience.Stop()
	select {
	case workErr := <-worked:
		return errors.Join(err, workErr)
	case <-patience.C:
		return errors.Join(err, errors.New("workers did not stop in time; what they held is free again when its leases end"))
	}
}

// shutdown lets every site answer what is under way, those that are last last.
func (r running) shutdown(ctx context.Context, servers []*http.Server) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	var problems []error
	for _, last := range []bool{false, true} {
		var group errgroup.Group
		for i, s := range r.sites {
			if s.last != last {
				continue
			}
			group.Go(func() error {
				if err := servers[i].Shutdown(stop); err != nil {
					return errors.Join(fmt.Errorf("%s listener did not drain: %w", s.name, err), servers[i].Close())
				}
				return nil
			})
		}
		problems = append(problems, group.Wait())
	}
	return errors.Join(problems...)
}
