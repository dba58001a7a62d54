package house

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mongo"
	"github.com/trifecta-pay/trifecta/store/sqlite"
)

// OpenStore opens the store that a URL names, sqlite:FILE or mongodb://…. readOnly
// leaves an SQLite file untouched; it changes nothing for MongoDB, which opening
// never changes.
func OpenStore(ctx context.Context, address config.Secret, readOnly bool) (store.Engine, error) {
	scheme, where := config.Config{Store: address}.StoreURL()
	switch scheme {
	case "sqlite":
		e, err := sqlite.Open(ctx, sqlite.Options{Path: where.Reveal(), Collections: store.Collections(), ReadOnly: readOnly})
		if err != nil {
			return nil, fmt.Errorf("open the store: %w", err)
		}
		return e, nil
	case "mongodb":
		e, err := mongo.Open(ctx, mongo.Options{URL: where.Reveal(), Collections: store.Collections()})
		if err != nil {
			return nil, fmt.Errorf("open the store: %w", err)
		}
		return e, nil
	}
	return nil, fmt.Errorf("open the store: %w: it must be sqlite:FILE or mongodb://HOSTS/DATABASE", store.ErrInvalid)
}

// StoreName is a store's URL without anything secret, for messages: the absolute path,
// or hosts and database.
func StoreName(address config.Secret) string {
	if name, ok := storeName(address); ok {
		return name
	}
	prefix, _, ok := strings.Cut(address.Reveal(), "://")
	if !ok {
		return withheld
	}
	return prefix + "://" + withheld
}

// StoreIdentity is StoreName for knowing a store again. Where the name is withheld, all
// stores would look the same: that is an error, which says what to write.
func StoreIdentity(address config.Secret) (string, error) {
	name, ok := storeName(address)
	if !ok {
		return "", fmt.Errorf("%w: nothing tells the address from a password in it, so the store can't be known again by it: %s", store.ErrInvalid, StoreName(address))
	}
	return name, nil
}

// withheld stands where no part of an address is certain to hold no password.
const withheld = "… (withheld: name host and database, and write ?, @, / and : in the password, and @ in options, as %3F, %40, %2F and %3A)"

// storeName is false where the name is withheld.
func storeName(address config.Secret) (string, bool) {
	scheme, where := config.Config{Store: address}.StoreURL()
	if scheme == "sqlite" {
		path, err := filepath.Abs(where.Reveal())
		if err != nil { // no working directory: the path as it was given
			path = where.Reveal()
		}
		return "sqlite:" + path, true
	}
	prefix, rest, ok := strings.Cut(where.Reveal(), "://")
	if !ok {
		return "", false
	}
	name, ok := serverName(rest)
	return prefix + "://" + name, ok
}

// serverName is hosts and database of a URL without its scheme. Passwords come with raw
// question marks and at signs, and without the host that should follow them: what stands
// before the last @ is the user's, unless that @ may as well be in the options, and what is
// followed by no database may be a password. What then reads like host, port and database
// is shown: nothing tells user:12345/db from a host with a port, nor the end of a raw
// user:p@ss/db from a host.
func serverName(rest string) (string, bool) {
	at, query := strings.LastIndex(rest, "@"), strings.Index(rest, "?")
	if query >= 0 && query < at && strings.Contains(rest[query:at], "=") {
		return "", false
	}
	name, _, _ := strings.Cut(rest[at+1:], "?")
	hosts, _, ok := strings.Cut(name, "/")
	if !ok && strings.ContainsAny(rest, "@:") {
		return "", false
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if bracket := strings.LastIndex(host, "]"); bracket >= 0 { // the colons of IPv6
			host = host[bracket+1:]
		}
		_, port, ok := strings.Cut(host, ":")
		if n, err := strconv.Atoi(port); ok && (err != nil || n < 1 || n > 65535) {
			return "", false
		}
	}
	return name, true
}

// OneProcess says whether the store is open in this process alone.
func OneProcess(e store.Engine) bool {
	_, ok := e.(*sqlite.Engine)
	return ok
}

// Drift is one difference between the declared indexes and those of a store.
type Drift struct {
	Text string
	// Missing can be made by trifecta migrate; anything else needs a human.
	Missing bool
	// Harmless costs a little and breaks nothing.
	Harmless bool
}

// IndexDrift lists how a store's indexes differ from the declared ones. An SQLite
// file is brought up to date by opening it.
func IndexDrift(ctx context.Context, e store.Engine) ([]Drift, error) {
	db, ok := e.(*mongo.Engine)
	if !ok {
		return nil, nil
	}
	found, err := db.IndexDrift(ctx)
	if err != nil {
		return nil, fmt.Errorf("compare the indexes: %w", err)
	}
	out := make([]Drift, 0, len(found))
	for _, d := range found {
		out = append(out, Drift{Text: d.String(), Missing: d.Kind == mongo.Missing, Harmless: d.Kind == mongo.Extra})
	}
	return out, nil
}

// LookAtKeys says whether the configured keys are those that a store is sealed under; it
// writes nothing.
func LookAtKeys(ctx context.Context, cfg config.Config, e store.Engine) error {
	sealed, err := seal(cfg, e)
	if err != nil {
		return err
	}
	return sealed.LookAtKeys(ctx, cfg.Encryption.Lost...)
}

// InUse says whether a store could not be opened because another process has it.
func InUse(err error) bool { return errors.Is(err, sqlite.ErrInUse) }

// OnFile says whether an error is about an SQLite file, and not about a database elsewhere.
func OnFile(err error) bool { return errors.Is(err, sqlite.ErrFile) }

// Absent says whether the store is an SQLite file that isn't there. Of a database
// elsewhere it says nothing: that is false.
func Absent(address config.Secret) bool {
	scheme, path := config.Config{Store: address}.StoreURL()
	return scheme == "sqlite" && sqlite.Absent(path.Reveal())
}

// Server is what the machine that keeps a store says about itself.
type Server struct {
	Now        time.Time // its clock; zero if it did not say
	ReplicaSet string    // "" for a single machine
	Members    int
}

// AskServer asks a store's server about itself; ok is false where there is none.
func AskServer(ctx context.Context, e store.Engine) (s Server, ok bool, err error) {
	db, ok := e.(*mongo.Engine)
	if !ok {
		return Server{}, false, nil
	}
	info, err := db.Hello(ctx)
	if err != nil {
		return Server{}, true, fmt.Errorf("ask the database server: %w", err)
	}
	return Server(info), true, nil
}
