package paypalspec

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/trifecta-pay/trifecta/providers/providertest/exchange"
)

// documents are the files of PayPal's public API that we use.
var documents = []string{
	"checkout_orders_v2.json",
	"payments_payment_v2.json",
	"reporting_transactions_v1.json",
	"notifications_webhooks_v1.json",
	"customer_disputes_v1.json",
}

// cache holds the loaded documents: about a second of work that never changes.
var cache struct {
	sync.Mutex
	dir string
	v   *Validator
	err error
}

func loadOnce(dir string) (*Validator, error) {
	cache.Lock()
	defer cache.Unlock()
	if cache.dir != dir {
		cache.dir = dir
		cache.v, cache.err = load(dir)
	}
	return cache.v, cache.err
}

// findSpecs looks beside the repository for the shared documents; fs.ErrNotExist says
// that their folder isn't there.
func findSpecs() (string, error) {
	dir, err := exchange.Root()
	if err != nil {
		return "", err
	}
	specs := filepath.Join(dir, "..", "shared", "specs", "paypal")
	if _, err := os.Stat(specs); err != nil {
		return "", fmt.Errorf("no folder of documents: %w", err)
	}
	return specs, nil
}

func load(dir string) (*Validator, error) {
	v := &Validator{}
	for _, name := range documents {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("reading a document: %w", err)
		}
		var doc map[string]any
		if err := json.Unmarshal(raw, &doc); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := patch(name, doc); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if raw, err = json.Marshal(doc); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t, err := openapi3.NewLoader().LoadFromData(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		v.tables = append(v.tables, newTable(t))
	}
	return v, nil
}
