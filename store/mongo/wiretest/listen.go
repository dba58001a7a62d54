package wiretest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports that nobody is given unasked: below those that systems give to connections and to listeners who want any port
// (Linux: from 32768, elsewhere from 49152).
const (
	firstPort = 20_000
	ports     = 12_000
)

// Listen opens a port of loopback that can be closed and opened again later: a port of the system's choice may be
// somebody else's by then, and who expects to find nobody there would meet them.
func Listen() (net.Listener, error) {
	var last error
	for range 100 {
		port := firstPort + rand.IntN(ports) //nolint:gosec,forbidigo // any port will do, and no two processes should begin with the same
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return l, nil
		}
		last = err
	}
	return nil, fmt.Errorf("wiretest: no free port: %w", last)
}
