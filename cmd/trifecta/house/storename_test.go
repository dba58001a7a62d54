package house

import (
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/config"
)

// Promise: no part of a password stands in the name of a store, however the URL was written: with raw special characters,
// in digits only, without the host. What is written as it should be keeps hosts and database.
func TestStoreNameHoldsNoPassword(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"mongodb://host/db":                                   "mongodb://host/db",
		"mongodb://user:pa%3Fss@a:27017,b:27018/db?w=1":       "mongodb://a:27017,b:27018/db",
		"mongodb+srv://user:swordfish@cluster.example.com/db": "mongodb+srv://cluster.example.com/db",
		"mongodb://user:swordfish@[::1]:27017,[fe80::2]/db":   "mongodb://[::1]:27017,[fe80::2]/db",
		"mongodb://user:sword?fish@host/db":                   "mongodb://host/db",
		"mongodb://user:sword@fish@host/db?w=1":               "mongodb://host/db",
		"mongodb://user:sword/fish@host:27017/db":             "mongodb://host:27017/db",
		"mongodb://user:123?456@host/db":                      "mongodb://host/db",
		"mongodb://user:123456789@host/db":                    "mongodb://host/db",
		"mongodb://user:123456789/db":                         "mongodb://" + withheld,
		"mongodb://user:swordfish/db":                         "mongodb://" + withheld,
		"mongodb://user:sword?fish":                           "mongodb://" + withheld,
		"mongodb://user:sword?f=ish@host/db":                  "mongodb://" + withheld,
		"mongodb://host/db?tlsPassword=sword@fish":            "mongodb://" + withheld,
		"mongodb://user:12345":                                "mongodb://" + withheld,
		"mongodb://user:12345?w=1":                            "mongodb://" + withheld,
		"mongodb://user:sword@fish":                           "mongodb://" + withheld,
		"mongodb://user:sword@fish?w=1":                       "mongodb://" + withheld,
		"mongodb://host":                                      "mongodb://host",
		"mongodb:user:swordfish@host":                         withheld,
	} {
		got := StoreName(config.NewSecret(url))
		if got != want {
			t.Errorf("%s is named %s, want %s", url, got, want)
		}
		for _, piece := range []string{"sword", "fish", "123", "456"} {
			if strings.Contains(strings.ReplaceAll(got, withheld, ""), piece) {
				t.Errorf("%s is named %s: a piece of the password", url, got)
			}
		}
	}
}

// Promise: no two stores are taken for one because the names of both are withheld: an address that hides which store it is
// is refused where a store has to be known again, in words that say how to write it, and that hold nothing of it.
func TestWithheldNameIdentifiesNoStore(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"mongodb://user:pw@h1/db?x=a@b", "mongodb://user:swordfish/db", "mongodb://user:12345", "mongodb:user:swordfish@h1"} {
		name, err := StoreIdentity(config.NewSecret(url))
		if name != "" || err == nil || !strings.Contains(err.Error(), "%40") || strings.Contains(err.Error(), "swordfish") || strings.Contains(err.Error(), "12345") {
			t.Errorf("%s is %q, %v", url, name, err)
		}
	}
	for _, url := range []string{"mongodb://user:pw@h1/db?x=a%40b", "mongodb://h1:27017/db", "sqlite:/a/shop.db"} {
		if name, err := StoreIdentity(config.NewSecret(url)); err != nil || name != StoreName(config.NewSecret(url)) {
			t.Errorf("%s is %q, %v", url, name, err)
		}
	}
}
