package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trifecta-pay/trifecta/config"
)

// clockOf is the machine's clock, or with test_clock (test mode only) the
// sandbox's, followed by a worker.
func clockOf(ctx context.Context, cfg config.Config, log *slog.Logger) (clock func() time.Time, follow func(context.Context) error, err error) {
	if cfg.TestClock == "" {
		return time.Now, func(context.Context) error { return nil }, nil
	}
	c := &followed{url: strings.TrimRight(cfg.TestClock, "/") + "/_sandbox/clock", client: &http.Client{Timeout: 2 * time.Second}}
	if err := c.sync(ctx); err != nil {
		return nil, nil, fmt.Errorf("test_clock %s: %w", cfg.TestClock, err)
	}
	return c.now, func(ctx context.Context) error { return c.run(ctx, log) }, nil
}

// followed is a clock that keeps the offset of a sandbox's.
type followed struct {
	url    string
	client *http.Client
	offset atomic.Int64
}

func (c *followed) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *followed) sync(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	var answer struct{ Now time.Time }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Now.IsZero() {
		return fmt.Errorf("it answered %d without a time", resp.StatusCode)
	}
	c.offset.Store(int64(time.Until(answer.Now)))
	return nil
}

// run asks again every quarter second. A sandbox that is away leaves the clock
// as it last was.
func (c *followed) run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := c.sync(ctx); err != nil && ctx.Err() == nil {
				log.DebugContext(ctx, "test clock not followed", "error", err)
			}
		}
	}
}
