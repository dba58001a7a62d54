//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sqlite

import (
	"errors"
	"io"
)

// lock refuses: without a lock that ends with its process, two processes could open one file.
func lock(string) (io.Closer, error) {
	return nil, errors.New("the sqlite store needs flock, which this operating system lacks; use MongoDB")
}
