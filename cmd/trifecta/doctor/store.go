package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/store"
)

// store looks at the store and at what is in it.
func (c *checkup) store(ctx context.Context) {
	name := house.StoreName(c.Config.Store)
	switch {
	case c.InUse:
		c.add(groupStore, "store.open", name, OK, "a running process has it, so it was not looked into", "")
		return
	case c.Absent && !c.Config.Live():
		c.add(groupStore, "store.open", name, Warn, "there is no such file yet: serve and apikey create make it", "If this shop is not new, check the path, and whether its disk is mounted")
		return
	case c.Absent:
		c.add(groupStore, "store.open", name, Fail, "there is no such file, and serve makes none for a live account", "If this shop is new, run trifecta migrate --config FILE; otherwise check the path, and whether its disk is mounted")
		return
	case c.StoreErr != nil && house.OnFile(c.StoreErr):
		c.add(groupStore, "store.open", name, Fail, c.StoreErr.Error(), "Check the path, who may read and write there, the space on the disk, and that it is a file of Trifecta's")
		return
	case c.StoreErr != nil:
		c.add(groupStore, "store.open", name, Fail, c.StoreErr.Error(), "Check the address, the network and the credentials, and that the database is up and has a primary")
		return
	}
	c.add(groupStore, "store.open", name, OK, "it answers", "")
	if scheme, _ := c.Config.StoreURL(); scheme == "sqlite" && c.Config.Live() {
		c.add(groupStore, "store.engine", name, Warn, "a live shop on SQLite: one process, one disk, and backups are yours", "Move to MongoDB: trifecta migrate --from "+name+" --to mongodb://… (docs/runbook.md)")
	}
	migrated := c.migrated(ctx, name)
	c.indexes(ctx, name)
	c.server(ctx, name)
	if migrated {
		c.sealed(ctx, name)
		c.writable(ctx, name)
		c.keys(ctx)
	}
}

func (c *checkup) migrated(ctx context.Context, name string) bool {
	err := c.bounded(ctx, "store.migration", func(ctx context.Context) error { return store.CheckMigrated(ctx, c.Engine) })
	switch {
	case errors.Is(err, store.ErrMigrating):
		c.add(groupStore, "store.migration", name, Fail, err.Error(), "Finish the migration; serve refuses this store until then")
	case err != nil:
		c.add(groupStore, "store.migration", name, Fail, err.Error(), "Check that the database has a primary and that this user may read")
	}
	return err == nil
}

// sealed looks whether the keys are those that the records are sealed under.
func (c *checkup) sealed(ctx context.Context, name string) {
	err := c.bounded(ctx, "store.keys", func(ctx context.Context) error { return house.LookAtKeys(ctx, c.Config, c.Engine) })
	switch {
	case errors.Is(err, store.ErrMissingKey) || errors.Is(err, store.ErrWrongKey):
		c.add(groupStore, "store.keys", name, Fail, err.Error(), "Put the key back that the message names; serve refuses this store without it")
	case err != nil:
		c.add(groupStore, "store.keys", name, Fail, err.Error(), "Check that this user may read. In a large store with a rotation under way this takes longer than doctor waits: serve looks to the end")
	case len(c.Config.Encryption.Keys) > 0:
		c.add(groupStore, "store.keys", name, OK, "no key is missing that records are sealed under", "")
	}
}

func (c *checkup) indexes(ctx context.Context, name string) {
	var drift []house.Drift
	err := c.bounded(ctx, "store.indexes", func(ctx context.Context) (err error) {
		drift, err = house.IndexDrift(ctx, c.Engine)
		return err
	})
	if err != nil {
		c.add(groupStore, "store.indexes", name, Fail, err.Error(), "Check that this user may list indexes")
		return
	}
	for _, d := range drift {
		switch {
		case d.Missing:
			c.add(groupStore, "store.indexes", name, Fail, d.Text, "Run trifecta migrate --config FILE")
		case d.Harmless:
			c.add(groupStore, "store.indexes", name, Warn, d.Text, "Drop it if nobody else needs it: it costs a little at every write")
		default:
			c.add(groupStore, "store.indexes", name, Fail, d.Text, "Drop it, then run trifecta migrate --config FILE")
		}
	}
	if len(drift) == 0 {
		c.add(groupStore, "store.indexes", name, OK, "every declared index is there", "")
	}
}

// server looks at the machine that keeps the store.
func (c *checkup) server(ctx context.Context, name string) {
	var info house.Server
	var there bool
	before, after := c.Clock(), time.Time{}
	err := c.bounded(ctx, "store.server", func(ctx context.Context) (err error) {
		info, there, err = house.AskServer(ctx, c.Engine)
		after = c.Clock()
		return err
	})
	switch {
	case !there:
		return
	case err != nil:
		c.add(groupStore, "store.server", name, Warn, err.Error(), "Check the network to the database")
		return
	case info.ReplicaSet == "":
		c.add(groupStore, "store.replicas", name, Warn, "it names no replica set: if it is a single machine, its loss is the loss of everything since the last backup",
			"Use a replica set of three, or a sharded cluster of them")
	case info.Members < 3:
		c.add(groupStore, "store.replicas", name, Warn, fmt.Sprintf("replica set %s has %d members: with one away there is no majority, or no second copy", info.ReplicaSet, info.Members), "Use three")
	default:
		c.add(groupStore, "store.replicas", name, OK, fmt.Sprintf("replica set %s with %d members", info.ReplicaSet, info.Members), "")
	}
	if c.Config.TestClock == "" { // otherwise ours is the sandbox's
		c.skew(groupStore, name, "the database", info.Now, before, after)
	}
}

// writable writes a probe and takes it away. On MongoDB every write of ours waits for
// a majority and its journals, so this shows that there is one.
func (c *checkup) writable(ctx context.Context, name string) {
	replicas, now := store.NewReplicas(c.Engine), c.Clock()
	probe := store.Presence{ID: "doctor/" + c.Owner, Host: "doctor", Version: "doctor", Started: now, Expires: now.Add(c.Limit)}
	err := c.bounded(ctx, "store.write", func(ctx context.Context) error {
		if err := replicas.Announce(ctx, probe); err != nil {
			return err
		}
		return replicas.Leave(ctx, probe.ID)
	})
	if err != nil {
		c.add(groupStore, "store.write", name, Fail, err.Error(), "Check that this user may write, that the disk has room, and that a majority of the replica set is up")
		return
	}
	durable := "synced to the disk"
	if scheme, _ := c.Config.StoreURL(); scheme == "mongodb" {
		durable = "acknowledged by a majority, journaled"
	}
	c.add(groupStore, "store.write", name, OK, "a write was "+durable+", and taken back", "")
}

// keys looks for apps that nobody can call as.
func (c *checkup) keys(ctx context.Context) {
	var counts map[string]int
	err := c.bounded(ctx, "store.api_keys", func(ctx context.Context) (err error) {
		counts, err = store.NewKeys(c.Engine).CountKeys(ctx)
		return err
	})
	if err != nil {
		c.add(groupStore, "api_keys", "", Fail, err.Error(), "Check that this user may read")
		return
	}
	for _, a := range c.Config.Apps {
		if counts[a.Name] == 0 {
			c.add(groupStore, "api_keys", a.Name, Warn, "the app has no API key", "Run trifecta apikey create --config FILE --app "+a.Name)
			continue
		}
		c.add(groupStore, "api_keys", a.Name, OK, fmt.Sprintf("%d API keys", counts[a.Name]), "")
	}
	if counts[""] == 0 {
		c.add(groupStore, "api_keys", "operators", Warn, "there is no operator key: nobody can resolve conflicts or ask a running server", "Run trifecta apikey create --config FILE --operator")
	}
}
