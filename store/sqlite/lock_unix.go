//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/trifecta-pay/trifecta/store"
)

// lock takes the exclusive lock on the side file path. It is the operating system's, so a killed process leaves none
// behind. The side file itself stays: removing it would let two processes lock two files of one name.
func lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock file beside the database, whose directory must be writable: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }() // nothing was written
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		holder := make([]byte, 32)
		n, _ := f.ReadAt(holder, 0) // only for the message
		return nil, fmt.Errorf("%w: %s is %w (%s)",
			store.ErrUnavailable, strings.TrimSuffix(path, lockSuffix), ErrInUse, strings.TrimSpace(string(holder[:n])))
	}
	// Who holds it, for the other one's message. The lock counts, not the text.
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "pid %d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write lock file: %w", err), f.Close())
	}
	return held{f}, nil
}

// held is a lock that is given back by saying so. Closing the file would not do at every moment: a child process that
// is just being started has it open too, until its program is loaded.
type held struct{ f *os.File }

func (h held) Close() error {
	return errors.Join(syscall.Flock(int(h.f.Fd()), syscall.LOCK_UN), h.f.Close())
}
