// Package mongo is the store engine of production: MongoDB, as a replica set or sharded. It is the only room that
// imports the MongoDB driver, and it must not hold anything but the Engine: no domain rule, no query of its own, no
// operator that the Engine port does not need, no transaction, no expiry index.
//
// One MongoDB collection per declared collection. A document is {_id, v, b, FIELD...}: the version, the body as a
// string, byte for byte, and the declared index fields as native values, times as dates. Each declared index is one
// compound index over its fields and _id, so that the order (sort field, id) comes from the index; strings sort by
// their bytes. Migrate creates them, Open never does.
//
// Every write is acknowledged by a majority, from its journals; every read asks the primary for what a majority has;
// every command has a deadline, also on the server. Every write names one _id, so that collections can be sharded by a
// hashed _id (a query through an index is then asked of all shards). The one promise that no setting gives: for the
// seconds that a cut-off primary needs to notice that it is deposed, it may answer reads from before. Writes are
// compare-and-swap and acknowledged by a majority, so what such a read leads to is refused, never lost.
package mongo

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/trifecta-pay/trifecta/store"
)

const (
	defaultTimeout   = 8 * time.Second  // of one Engine method; covers an election, usually under 5 s
	defaultSelection = 3 * time.Second  // of finding a primary: fail fast, the caller answers 503
	migrateTimeout   = 60 * time.Minute // of Migrate: an index on a large collection takes its time
	closeTimeout     = time.Second
	heartbeat        = 5 * time.Second // without need; a method that finds no primary has it asked at once
	defaultPool      = 64              // connections per server
	maxConnecting    = 8
	appName          = "trifecta"
)

// Options says what to open.
type Options struct {
	// URL is mongodb://[user:password@]host1,host2/database?replicaSet=rs0 or mongodb+srv://…. The database is
	// needed. What it says of write concern, read concern, read preference, retries and compression is overruled.
	URL string
	// Collections are the declared ones, normally store.Collections().
	Collections []store.Collection
	// Timeout bounds each method, whatever the caller's context allows. 0: 8 s. Migrate has an hour.
	Timeout time.Duration
	// SelectionTimeout bounds the search for a primary. 0: what the URL says (serverSelectionTimeoutMS), or 3 s.
	SelectionTimeout time.Duration
	// AppName is what the server's logs call us. "": trifecta.
	AppName string
}

// Engine is an open store. Make it with Open.
type Engine struct {
	client  *mongo.Client
	db      *mongo.Database
	colls   map[string]*collection
	decls   []store.Collection
	timeout time.Duration
	secrets []string // never in an error's text

	mu     sync.RWMutex // held for reading by every method under way
	closed bool
}

var _ store.Engine = (*Engine)(nil)

type collection struct {
	decl   store.Collection
	fields map[string]bool
	c      *mongo.Collection
}

// Open connects and asks for an answer, so that a wrong URL is known at once: store.ErrUnavailable when no primary is
// found, store.ErrInvalid for a URL or a declaration that can't be right. It creates nothing: see Migrate and
// IndexDrift.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if err := store.CheckCollections(o.Collections); err != nil {
		return nil, err
	}
	dbName, secrets, err := readURL(o.URL)
	if err != nil {
		return nil, err
	}
	opts, err := settings(o)
	if err != nil {
		return nil, err
	}
	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, fmt.Errorf("%w: the MongoDB URL: %s", store.ErrInvalid, scrub(err.Error(), secrets))
	}
	e := &Engine{client: client, db: client.Database(dbName), colls: map[string]*collection{}, decls: o.Collections, timeout: o.Timeout, secrets: secrets}
	if e.timeout <= 0 {
		e.timeout = defaultTimeout
	}
	for _, d := range o.Collections {
		c := &collection{decl: d, fields: map[string]bool{}, c: e.db.Collection(d.Name)}
		for _, f := range d.Fields() {
			c.fields[f] = true
		}
		e.colls[d.Name] = c
	}
	if err := e.Ping(ctx); err != nil {
		return nil, errors.Join(err, e.Close()) //nolint:contextcheck // closing has a deadline of its own
	}
	return e, nil
}

// readURL finds the database and what must never be printed. The driver checks the rest.
func readURL(url string) (db string, secrets []string, err error) {
	_, rest, ok := strings.Cut(url, "://")
	if !ok || !strings.HasPrefix(url, "mongodb://") && !strings.HasPrefix(url, "mongodb+srv://") {
		return "", nil, fmt.Errorf("%w: the MongoDB URL must begin with mongodb:// or mongodb+srv://", store.ErrInvalid)
	}
	hosts, path, _ := strings.Cut(rest, "/")
	db, query, _ := strings.Cut(path, "?")
	if db == "" || strings.ContainsAny(db, `/\. "$`) {
		return "", nil, fmt.Errorf("%w: the MongoDB URL names no database: write mongodb://HOSTS/DATABASE?…", store.ErrInvalid)
	}
	if at := strings.LastIndex(hosts, "@"); at >= 0 {
		user, password, _ := strings.Cut(hosts[:at], ":")
		secrets = appendSecret(appendSecret(secrets, password), user)
	}
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		switch name = strings.ToLower(name); {
		case strings.Contains(name, "password") || name == "authmechanismproperties":
			secrets = appendSecret(secrets, value)
		case name == "directconnection" && value == "true":
			return "", nil, fmt.Errorf("%w: the MongoDB URL says directConnection=true, which may read from a member that is not primary", store.ErrInvalid)
		}
	}
	return db, secrets, nil
}

// oddPort is a host's port that is no number.
var oddPort = regexp.MustCompile(`:[^,/]*[^0-9,/]`)

// mayHoldPassword says whether a URL has a password, also one that reads like a host's
// port because the @ and the host after it are missing.
func mayHoldPassword(url string) bool {
	_, rest, _ := strings.Cut(url, "://")
	hosts, _, _ := strings.Cut(rest, "/")
	return strings.Contains(url, "@") || strings.Contains(strings.ToLower(url), "password") || oddPort.MatchString(hosts)
}

// settings are the client's options: what the URL says, and over it what correctness rests on.
func settings(o Options) (*options.ClientOptions, error) {
	opts := options.Client().ApplyURI(o.URL)
	if err := opts.Validate(); err != nil {
		// The driver's text may quote the URL in pieces that no search for the password would find.
		if mayHoldPassword(o.URL) {
			return nil, fmt.Errorf("%w: the MongoDB URL can't be read (why is withheld, because it holds a password; special characters in it are written %%XX)", store.ErrInvalid)
		}
		return nil, fmt.Errorf("%w: the MongoDB URL: %s", store.ErrInvalid, err.Error())
	}
	journaled := true
	selection, name := o.SelectionTimeout, o.AppName
	if selection <= 0 && opts.ServerSelectionTimeout != nil {
		selection = *opts.ServerSelectionTimeout
	}
	if selection <= 0 {
		selection = defaultSelection
	}
	if name == "" {
		name = appName
	}
	opts.SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journaled}).
		SetReadConcern(readconcern.Majority()).SetReadPreference(readpref.Primary()).
		SetRetryWrites(true).SetRetryReads(true).
		SetServerSelectionTimeout(selection).SetConnectTimeout(selection).
		SetCompressors(nil). // one thing less between a write and its bytes
		// Polling, not streaming: with the stream, driver v2.9.3 can miss that a check is to be ended (the listener of
		// a check that is just beginning does not hear it). Then one cut connection keeps the primary "unknown" until
		// the stream's next word, 10 s later, and Disconnect waits as long. Polling asks at once, twice a second.
		SetServerMonitoringMode(options.ServerMonitoringModePoll).SetHeartbeatInterval(heartbeat).
		SetAppName(name).SetMonitor(countAttempts()).SetMaxConnecting(maxConnecting)
	if opts.MaxPoolSize == nil {
		opts.SetMaxPoolSize(defaultPool)
	}
	opts.Timeout = nil // every method sets its own deadline, see begin
	return opts, nil
}

// begin starts a method: it finds the collection, holds Close back and sets the deadline. The caller defers end.
func (e *Engine) begin(ctx context.Context, coll string) (_ context.Context, c *collection, end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if c = e.colls[coll]; c == nil {
		return nil, nil, nil, fmt.Errorf("%w: collection %q is not declared", store.ErrInvalid, coll)
	}
	ctx, end, err = e.enter(ctx, e.timeout)
	return ctx, c, end, err
}

func (e *Engine) enter(ctx context.Context, timeout time.Duration) (context.Context, func(), error) {
	e.mu.RLock()
	if e.closed {
		e.mu.RUnlock()
		return nil, nil, fmt.Errorf("%w: closed", store.ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, func() { cancel(); e.mu.RUnlock() }, nil
}

// Ping implements store.Engine: the primary answers.
func (e *Engine) Ping(ctx context.Context) error {
	inner, end, err := e.enter(ctx, e.timeout)
	if err != nil {
		return err
	}
	defer end()
	if err := e.db.RunCommand(inner, bson.D{{Key: "ping", Value: 1}}).Err(); err != nil {
		return e.classify(ctx, "ping", err)
	}
	return nil
}

// Close implements store.Engine. It waits for methods under way, each of which has a deadline.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	// Nothing is under way any more, so what is left is to hang up. The driver's Disconnect (v2.9.3) does not heed its
	// context: if a member's monitor begins a check at that very moment, it waits for the answer.
	done := make(chan error, 1)
	go func() { done <- e.client.Disconnect(context.Background()) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("close the MongoDB store: %s", scrub(err.Error(), e.secrets))
		}
	case <-time.After(closeTimeout): //nolint:forbidigo // bounds a wait on the network, decides nothing
	}
	return nil
}

// WithDatabase returns the URL with another database's name in it; the URL's own may be missing. It is for tests that
// share a server, and for copying.
func WithDatabase(url, db string) (string, error) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return "", fmt.Errorf("%w: the MongoDB URL has no scheme", store.ErrInvalid)
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	hosts, _, _ := strings.Cut(rest, "/")
	url = scheme + "://" + hosts + "/" + db
	if hasQuery {
		url += "?" + query
	}
	return url, nil
}
