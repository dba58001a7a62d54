package house

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// How a process says that it is there. It is taken for dead after presenceFor
// without a word, which is also how long a migration is refused after a kill -9.
const (
	presenceFor   = 30 * time.Second
	presenceEvery = 10 * time.Second
)

// presence keeps this process announced in the store.
type presence struct {
	replicas *store.Replicas
	clock    func() time.Time
	me       store.Presence

	mu   sync.Mutex
	next time.Time
}

func newPresence(o Options, engine store.Engine, id string) *presence {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	return &presence{
		replicas: store.NewReplicas(engine), clock: o.Clock,
		me: store.Presence{ID: id, Host: host, Version: version, Started: o.Clock().UTC()},
	}
}

// Step announces this process where it is time to, and takes away those that are dead.
func (p *presence) Step(ctx context.Context) (did int, next time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock().UTC()
	if now.Before(p.next) {
		return 0, p.next, nil
	}
	me := p.me
	me.Expires = now.Add(presenceFor)
	if err := p.replicas.Announce(ctx, me); err != nil {
		return 0, now.Add(time.Second), fmt.Errorf("announce this process: %w", err)
	}
	p.me, p.next = me, now.Add(presenceEvery)
	if _, err := p.replicas.Prune(ctx, now); err != nil {
		return 0, p.next, fmt.Errorf("take away dead processes: %w", err)
	}
	return 0, p.next, nil
}

// leave takes this process away, if it was ever announced.
func (p *presence) leave(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.IsZero() {
		return nil
	}
	if err := p.replicas.Leave(ctx, p.me.ID); err != nil {
		return fmt.Errorf("take this process's presence away, it ends by itself: %w", err)
	}
	p.next = time.Time{}
	return nil
}
