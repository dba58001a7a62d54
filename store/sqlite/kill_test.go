package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
)

// childEnv, when set, turns this test binary into the process that the parent kills: its value is the file's path.
const childEnv = "TRIFECTA_SQLITE_TEST_CHILD"

const childWriters = 4

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := child(path, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child writes for ever: each writer inserts a document, then replaces it twice, and prints "id version" after each
// acknowledgement, one line in one system call.
func child(path string, out io.Writer) error {
	e, err := Open(context.Background(), Options{Path: path, Collections: enginetest.Collections()})
	if err != nil {
		return err
	}
	run := os.Getpid()
	failed := make(chan error, childWriters)
	var mu sync.Mutex
	for w := range childWriters {
		go func() {
			for n := 0; ; n++ {
				d := store.Doc{ID: fmt.Sprintf("%d-%d-%d", run, w, n), Index: map[string]any{"tags": []string{"t"}}}
				for version := int64(1); version <= 3; version++ {
					d.Body = fmt.Appendf(nil, `{"version":%d}`, version)
					if version == 1 {
						err = e.Insert(context.Background(), "things", d)
					} else {
						err = e.Replace(context.Background(), "things", d, version-1)
					}
					if err != nil {
						failed <- err
						return
					}
					mu.Lock()
					_, werr := fmt.Fprintf(out, "%s %d\n", d.ID, version)
					mu.Unlock()
					if werr != nil {
						failed <- werr
						return
					}
				}
			}
		}()
	}
	return <-failed
}

func startChild(t *testing.T, path string) (*exec.Cmd, *bufio.Reader, *bytes.Buffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out), &stderr
}

// Guards I4 and the brief's first promise: whatever was acknowledged before kill -9 is there after it, whole, in the
// indexes too, and the file opens at once. Killed at ten moments, always on the same file.
func TestKillKeepsAcknowledgedWrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "killed.db")
	acked := map[string]int64{}
	for round := range 10 {
		cmd, out, stderr := startChild(t, path)
		killAfter := 1 + round*round*7 // lines: from right at the start to some hundreds
		for n := 0; ; n++ {
			line, err := out.ReadString('\n')
			if err != nil {
				if n < killAfter {
					t.Fatalf("the child ended early: %v, %s", err, stderr)
				}
				break // a cut last line was not acknowledged to us
			}
			var id string
			var version int64
			if _, err := fmt.Sscanf(line, "%s %d", &id, &version); err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			acked[id] = version
			if n+1 == killAfter {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("the child was not killed: %v, %s", err, stderr)
		}
		e := openAt(t, path, enginetest.Collections())
		checkAcked(t, e, acked)
		mustClose(t, e)
		if t.Failed() {
			t.Fatalf("after round %d", round)
		}
	}
	t.Logf("10 kills, %d documents, none lost", len(acked))
}

// checkAcked walks the whole collection: each acknowledged version or a later one is there; the body belongs to the
// version; the array index holds exactly the documents.
func checkAcked(t *testing.T, e *Engine, acked map[string]int64) {
	t.Helper()
	found, after := map[string]int64{}, ""
	for more := true; more; {
		docs, next, err := e.Scan(t.Context(), "things", after, 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			found[d.ID] = d.Version
			if want := fmt.Sprintf(`{"version":%d}`, d.Version); string(d.Body) != want {
				t.Errorf("%s is torn: version %d with body %s", d.ID, d.Version, d.Body)
			}
		}
		after, more = next, next != ""
	}
	for id, version := range acked {
		if found[id] < version {
			t.Errorf("LOST: %s was acknowledged at version %d, found %d", id, version, found[id])
		}
	}
	q, tagged := store.Query{Index: "by_tag", Limit: 500, Where: []store.Filter{store.Where("tags", store.Eq, "t")}}, 0
	for more := true; more; {
		docs, next, err := e.Query(t.Context(), "things", q)
		if err != nil {
			t.Fatal(err)
		}
		tagged += len(docs)
		q.After, more = next, next != ""
	}
	if tagged != len(found) {
		t.Errorf("%d documents, %d in the array index", len(found), tagged)
	}
	if verdict := pragma(t, e, "PRAGMA integrity_check"); verdict != "ok" {
		t.Errorf("integrity: %s", verdict)
	}
}

// Guards: two processes never share a file; the refusal names the file and the other process; the lock dies with its
// process.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shared.db")
	cmd, out, stderr := startChild(t, path)
	if _, err := out.ReadString('\n'); err != nil {
		t.Fatalf("the child did not start: %v, %s", err, stderr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := Open(ctx, Options{Path: path, Collections: enginetest.Collections()})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), fmt.Sprint("pid ", cmd.Process.Pid)) {
		t.Errorf("a second process was let in, or told little: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Logf("reading the killed child's rest: %v", err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	openAt(t, path, enginetest.Collections())
}
