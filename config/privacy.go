package config

import (
	"fmt"
	"slices"
	"strings"
)

// makeKey is how an operator makes an encryption key.
const makeKey = "Make one with: openssl rand -base64 32"

// encryption checks the keys that seal what is personal in the store. Losing one
// loses what is sealed under it, so nothing about them is guessed.
func (v *validator) encryption() {
	keys, active := v.cfg.Encryption.Keys, v.cfg.Encryption.Active
	for i, id := range v.cfg.Encryption.Lost {
		if slices.ContainsFunc(keys, func(k EncryptionKey) bool { return k.ID == id }) {
			v.add(fmt.Sprintf("encryption.lost[%d]", i), fmt.Sprintf("%q is a configured key", id), "Name only keys that are gone for good")
		}
	}
	if len(keys) == 0 {
		if active != "" {
			v.add("encryption.active", "names a key, and there is none", "Add it under encryption.keys")
		}
		if v.cfg.Live() && !v.cfg.AllowPlaintextLive {
			v.add("encryption.keys", "is missing with a live account or app: names, e-mail addresses and tokens would be stored in the clear",
				makeKey+", or set allow_plaintext_live: true if the disk itself is encrypted and that is enough")
		}
		return
	}
	seen, found := map[string]bool{}, false
	for i, k := range keys {
		at := fmt.Sprintf("encryption.keys[%d].", i)
		switch {
		case !namePattern.MatchString(k.ID):
			v.add(at+"id", "is not 1 to 40 of a-z, 0-9 and -", "It stands in every record sealed under the key: keep it plain, such as 2026-11, and never change it")
		case seen[k.ID]:
			v.add(at+"id", fmt.Sprintf("%q is the id of another key", k.ID), "Give each key an id of its own")
		}
		seen[k.ID] = true
		found = found || k.ID == active
		if k.Key.IsZero() {
			v.add(at+"key", "is missing or empty", makeKey)
			continue
		}
		b, err := k.Bytes()
		switch {
		case err != nil:
			v.add(at+"key", fmt.Sprintf("is not %d bytes in base64", EncryptionKeyBytes), makeKey)
		case strings.Count(string(b), string(b[:1])) == len(b):
			v.add(at+"key", "is one byte repeated, not a random key", makeKey)
		}
		for _, earlier := range keys[:i] {
			if k.Key.Equal(earlier.Key) {
				v.add(at+"key", fmt.Sprintf("is the key %q again", earlier.ID), "Rotating needs a new key. "+makeKey)
			}
		}
	}
	switch {
	case active == "":
		v.add("encryption.active", "is missing", "Name the key that seals new records")
	case !found:
		v.add("encryption.active", fmt.Sprintf("%q is not the id of a key", active), "Name one of encryption.keys")
	}
}

// retention checks that nothing is dropped while it is still needed: webhooks are
// redelivered for days, and apps catch up on feeds after outages of theirs.
func (v *validator) retention() {
	r := v.cfg.Retention
	for _, rule := range r.rules() {
		if n := *rule.days; n != 0 && (n < rule.least || n > MaxRetention) {
			v.add(rule.path, fmt.Sprintf("is not from %d to %d days", rule.least, MaxRetention), "Leave it out for the default of %d days", rule.def)
		}
	}
	if r = r.WithDefaults(); r.Inbox < r.InboxBodies {
		v.add("retention.inbox", "is less than retention.inbox_bodies", "A body can't outlive what is known of its webhook")
	}
}
