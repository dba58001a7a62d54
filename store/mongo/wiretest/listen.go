package wiretest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports that nobody is given unasked: below those that systems give to connections and to listeners who want any port
// (Linux: from 32768, elsewhere from 49152).
const (
	firstPort = 20_000
	ports     = 12_000
)

// Port is a port of loopback that can be closed and opened again later, in this process or in another, and at which
// nobody is found meanwhile: a port of the system's choice may be somebody else's by then. Reserve makes it; it is free
// again after Close.
type Port struct {
	// Addr is its host and port.
	Addr string
	twin net.PacketConn
}

// Reserve finds a port that is free. It is held by its twin of UDP, which stays open, and without which nobody who
// reserves takes it: not the tests of another process either, which run beside this one.
func Reserve() (*Port, error) {
	var last error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(ports)) //nolint:forbidigo // any port will do, and no two processes should begin with the same
		twin, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", addr)
		if err != nil {
			last = err
			continue
		}
		p := &Port{Addr: addr, twin: twin}
		l, err := p.Listen()
		if err == nil {
			if err = l.Close(); err == nil {
				return p, nil
			}
		}
		last = errors.Join(err, p.Close())
	}
	return nil, fmt.Errorf("wiretest: no free port: %w", last)
}

// Listen opens the port.
func (p *Port) Listen() (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", p.Addr)
	if err != nil {
		return nil, fmt.Errorf("wiretest: %w", err)
	}
	return l, nil
}

// Close gives the port back. Who listens there goes on.
func (p *Port) Close() error { return p.twin.Close() }

// ReserveFor reserves a port until the test ends.
func ReserveFor(t testing.TB) *Port {
	t.Helper()
	p, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // nobody reads it
	return p
}
