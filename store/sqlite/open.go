// Package sqlite is the store engine with nothing to install: one process, one file, WAL with full sync. It is for
// development, demos, tests and a small shop; production uses MongoDB. It is the only room that imports
// modernc.org/sqlite, and it must not hold anything but the Engine: no domain rule, no query of its own.
//
// One table per collection holds id, version, body, the index values as JSON, and one column per indexed field; each
// declared index is a real SQL index of the documents that have all of its fields, or, when it has an array field, a side
// table with one row per element. All of these but the first four columns are derived: Open creates what is missing and
// drops what is no longer declared.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite" // registers the driver too
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/trifecta-pay/trifecta/store"
)

const (
	applicationID  = 0x54524946 // "TRIF", in the file's header
	formatVersion  = 1          // of this layout, as the file's user_version
	lockSuffix     = ".lock"
	defaultFile    = "trifecta.db"
	readers        = 4 // connections
	writeQueue     = 256
	maxWriteBatch  = 128
	busyTimeoutMS  = 5000 // the lock keeps other processes out; this covers a checkpoint beside a long read
	synchronousMax = 2    // PRAGMA synchronous: FULL
	// The log is copied into the file when it has this many pages of 4 KiB, four times SQLite's default: a document is
	// written several times within seconds, and only its last pages are copied. Commits wait on the log either way.
	checkpointPages = 4000
)

// ErrInUse says that another process has the file; it comes with store.ErrUnavailable.
var ErrInUse = errors.New("in use by another process")

// ErrFile is in every error of Open: it is about a file, its directory or its disk, and not about a database elsewhere.
var ErrFile = errors.New("sqlite store")

// Options says what to open.
type Options struct {
	// Path of the database file, or of a directory (existing, or written with a slash at the end) that holds
	// "trifecta.db". A leading "sqlite:" is dropped. File and directory are made if missing, the file readable by its
	// owner only.
	Path string
	// Collections are the declared ones, normally store.Collections().
	Collections []store.Collection
	// ReadOnly leaves the file and what it has not yet taken over from its log byte for byte as they are: for copying a
	// store. The file must exist; the lock is taken all the same. A collection that the file lacks reads as empty. Only
	// Get, GetMany, Scan, Count and Ping work; the rest answers store.ErrInvalid.
	ReadOnly bool
}

// Open opens or creates the file under an exclusive lock, which command-line tools get the same way. It fails with
// store.ErrUnavailable while another process (or another Engine) has the file, and names the file and that process.
//
// A field that becomes indexed is found for documents written from then on; older ones are found through it after
// their next Replace. An index over fields that were indexed before is complete at once.
func Open(ctx context.Context, o Options) (_ *Engine, err error) {
	if err := store.CheckCollections(o.Collections); err != nil {
		return nil, err
	}
	path, err := resolve(o.Path, o.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("%w %q: %w", ErrFile, o.Path, err)
	}
	held, err := lock(path + lockSuffix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	e := &Engine{lock: held, tables: map[string]*table{}, written: newWritten(), queue: make(chan *write, writeQueue), done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%w %s: %w", ErrFile, path, err), e.closeFiles())
		}
	}()
	if !o.ReadOnly {
		if err := ownerOnly(path); err != nil {
			return nil, err
		}
	}
	if err := checkLog(ctx, path); err != nil {
		return nil, err
	}
	if o.ReadOnly {
		return e, e.openToRead(ctx, path, o.Collections)
	}
	if err := e.openFiles(ctx, path, o.Collections); err != nil {
		return nil, err
	}
	go e.writer()
	return e, nil
}

// resolve turns the option into the real path, so that one file has one lock whatever it is called.
func resolve(path string, mustExist bool) (string, error) {
	path = strings.TrimPrefix(path, "sqlite:")
	if path == "" {
		return "", fmt.Errorf("%w: empty path", store.ErrInvalid)
	}
	path, err := filepath.Abs(inDirectory(path))
	if err != nil {
		return "", fmt.Errorf("absolute path: %w", err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	} else if mustExist {
		return "", fmt.Errorf("there is no such file: %w", err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make directory: %w", err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", fmt.Errorf("directory: %w", err)
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}

// inDirectory adds the file's name to a path that names a directory.
func inDirectory(path string) string {
	if info, err := os.Stat(path); strings.HasSuffix(path, "/") || err == nil && info.IsDir() {
		return filepath.Join(path, defaultFile)
	}
	return path
}

// Absent says that there certainly is no file at Options.Path, so that Open would make a new and empty one.
func Absent(path string) bool {
	_, err := os.Stat(inDirectory(strings.TrimPrefix(path, "sqlite:")))
	return errors.Is(err, os.ErrNotExist)
}

// ownerOnly creates the file before SQLite does, because it holds customers' data; SQLite gives its side files the
// same mode.
func ownerOnly(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := f.Chmod(0o600); err != nil {
		return errors.Join(fmt.Errorf("restrict to owner: %w", err), f.Close())
	}
	return f.Close()
}

// ErrDamaged says that the file is not whole.
var ErrDamaged = errors.New("the file is damaged")

// checkLog looks through a file that was not closed, before anything is done with its log. SQLite takes over a log that
// belongs to another state of the file, as one does that lay there when a backup was put back, and the mixture opens
// without an error. The look is read only, so that both stay as they are.
func checkLog(ctx context.Context, path string) (err error) {
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		return nil // no log: the file was closed, or is new
	}
	c, err := connect(ctx, dsn(path, "ro", "query_only(1)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	verdict := ""
	err = c.longRow(ctx, "PRAGMA quick_check(1)", nil, func(row []driver.Value) error {
		verdict = fmt.Sprint(row[0])
		return nil
	})
	var native *sqlite.Error
	if errors.As(err, &native) && (native.Code()&0xff == sqlite3.SQLITE_CORRUPT || native.Code()&0xff == sqlite3.SQLITE_NOTADB) {
		verdict, err = native.Error(), nil
	}
	if err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w (%s). Nothing was changed. If a backup was just put here, its log is of another state: remove %s-wal and -shm, put the backup here again, and start. "+
			"Otherwise put a backup here, and see the runbook", ErrDamaged, verdict, filepath.Base(path))
	}
	return nil
}

// openFiles brings the schema up to date through database/sql, then opens the connections that work is done on.
func (e *Engine) openFiles(ctx context.Context, path string, colls []store.Collection) (err error) {
	db, err := sql.Open("sqlite", dsn(path, "rw", "synchronous(FULL)"))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }() // last: so the file is in use, and its log kept, throughout
	c, err := db.Conn(ctx)
	if err != nil {
		return classify(ctx, "open", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	fresh, err := checkHeader(ctx, c)
	if err != nil {
		return err
	}
	var mode string
	if err := c.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode); err != nil {
		return classify(ctx, "switch to WAL", err)
	}
	if err := e.migrate(ctx, c, fresh, colls); err != nil {
		return err
	}
	if e.conn, err = connect(ctx, dsn(path, "rw", "synchronous(FULL)")); err != nil {
		return err
	}
	if _, err := e.conn.exec(fmt.Sprint("PRAGMA wal_autocheckpoint=", checkpointPages)); err != nil {
		return err
	}
	if err := e.conn.mustBeDurable(ctx); err != nil {
		return err
	}
	e.readers = newPool(dsn(path, "rw", "query_only(1)"))
	return e.Ping(ctx)
}

// mustBeDurable refuses a connection on which a commit could be acknowledged before it is on the disk.
func (c *conn) mustBeDurable(ctx context.Context) error {
	var mode, sync any
	for query, into := range map[string]*any{"PRAGMA journal_mode": &mode, "PRAGMA synchronous": &sync} {
		err := c.rows(ctx, query, nil, func(row []driver.Value) error {
			*into = row[0]
			return nil
		})
		if err != nil {
			return err
		}
	}
	if mode != "wal" || sync != int64(synchronousMax) {
		return fmt.Errorf("durability settings were not taken: journal_mode %v, synchronous %v (a network file system?)", mode, sync)
	}
	return nil
}

// dsn names the file for a connection. What one deletes or overwrites is overwritten with zeros: SQLite would leave it in
// the file until its place is needed, and an erased address with it.
func dsn(path, mode, pragma string) string {
	q := url.Values{"mode": {mode}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeoutMS), pragma, "secure_delete(1)"}}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// checkHeader refuses files that are not ours or that a newer program wrote. fresh means that nothing is in it yet.
func checkHeader(ctx context.Context, conn *sql.Conn) (fresh bool, err error) {
	var app, version, objects int64
	for query, into := range map[string]*int64{
		"PRAGMA application_id":              &app,
		"PRAGMA user_version":                &version,
		"SELECT count(*) FROM sqlite_master": &objects,
	} {
		if err := conn.QueryRowContext(ctx, query).Scan(into); err != nil {
			return false, classify(ctx, "read header", err)
		}
	}
	switch {
	case app == 0 && objects == 0:
		return true, nil
	case app != applicationID:
		return false, errors.New("the file is a database of another program")
	case version > formatVersion:
		return false, fmt.Errorf("the file has format %d, this program knows up to %d: use a newer one", version, formatVersion)
	}
	return false, nil
}

func (e *Engine) closeFiles() error {
	var errs []error
	e.written.close()
	if e.readers != nil {
		if err := e.readers.close(); err != nil {
			errs = append(errs, err)
		}
	}
	if e.conn != nil {
		if err := e.conn.close(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := e.lock.Close(); err != nil { // last: as long as a file is open nobody else may have it
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
