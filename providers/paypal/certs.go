package paypal

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// What a certificate address must look like, and what a certificate must be for
// (PayPal docs: webhook integration; addresses as seen in real headers).
const (
	certPrefix   = "/v1/notifications/certs/"
	certNameLive = "messageverificationcerts.paypal.com"
	certNameTest = "messageverificationcerts.sandbox.paypal.com"
)

const (
	maxChain      = 64 << 10 // bytes of one certificate answer
	maxChainCerts = 8
	maxGood       = 16              // certificates kept
	maxBad        = 256             // failures kept
	badFor        = time.Minute     // how long a failure is remembered
	goodFor       = time.Hour       // how long a certificate is not judged again, within its time
	certTimeout   = 5 * time.Second // for one download
	maxCertURL    = 500             // PayPal OpenAPI: verify_webhook_signature, cert_url
)

var (
	// errCertificate says that what the address names can't be PayPal's certificate.
	errCertificate = errors.New("paypal: the webhook certificate is not acceptable")
	// errNoCertificate says that the certificate could not be had or judged now; PayPal
	// itself may be asked instead.
	errNoCertificate = errors.New("paypal: the webhook certificate can't be had")
)

// webhookRules are whose signatures we take.
type webhookRules struct {
	ids   []string // webhook ids
	hosts []string // certificate hosts, host or host:port
	name  string   // the certificate's DNS name
	plain bool     // http is allowed: test mode, loopback hosts only
	live  bool
}

func newWebhookRules(o Options) (*webhookRules, error) {
	for _, id := range o.WebhookIDs {
		if !idPattern.MatchString(id) {
			return nil, fmt.Errorf("paypal: account %s: a webhook id is not one", o.Account)
		}
	}
	r := &webhookRules{ids: slices.Clone(o.WebhookIDs)}
	if o.Mode == payment.ModeLive {
		r.live, r.name, r.hosts = true, certNameLive, []string{"api.paypal.com", "api-m.paypal.com"}
		return r, nil
	}
	r.plain, r.name, r.hosts = true, certNameTest, []string{"api.sandbox.paypal.com", "api-m.sandbox.paypal.com"}
	if len(o.WebhookCertHosts) > 0 {
		r.hosts = slices.Clone(o.WebhookCertHosts)
	}
	return r, nil
}

// allowed checks an address before anything is sent there: it comes from the caller.
func (r *webhookRules) allowed(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxCertURL || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		return errCertificate
	}
	name, found := strings.CutPrefix(u.EscapedPath(), certPrefix)
	if !found || !idPattern.MatchString(name) || !slices.Contains(r.hosts, u.Host) {
		return errCertificate
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !r.plain || !loopback(u.Hostname())) {
		return errCertificate
	}
	return nil
}

// certificates fetches and keeps PayPal's signing certificates by their address.
type certificates struct {
	http  *http.Client
	rules *webhookRules
	roots *x509.CertPool // nil: the system's

	mu      sync.Mutex
	good    map[string]chain
	bad     map[string]failure
	loading map[string]*loading
}

type chain struct {
	leaf  *x509.Certificate
	inter []*x509.Certificate
	used  time.Time
	// from and until are when it was judged good, and until when that holds: each webhook
	// comes with the same few certificates, and nothing but time changes the judgement.
	from, until time.Time
}

func (c chain) judged(now time.Time) bool { return !now.Before(c.from) && now.Before(c.until) }

type failure struct {
	err   error
	until time.Time
}

// loading is one download that several deliveries may wait for.
type loading struct {
	done  chan struct{}
	chain chain
	err   error
}

func newCertificates(client *http.Client, rules *webhookRules, roots *x509.CertPool) *certificates {
	return &certificates{
		http: client, rules: rules, roots: roots,
		good: map[string]chain{}, bad: map[string]failure{}, loading: map[string]*loading{},
	}
}

// key is the public key of the certificate at an address, if it may sign webhooks now.
func (c *certificates) key(ctx context.Context, address string, now time.Time) (*rsa.PublicKey, error) {
	if err := c.rules.allowed(address); err != nil {
		return nil, err
	}
	got, err := c.chain(ctx, address, now)
	if err == nil && now.After(got.leaf.NotAfter) && !got.used.IsZero() {
		// It was kept past its end, and may have been renewed in its place since: else every
		// webhook would be refused until the process ends.
		c.forget(address, got.leaf)
		got, err = c.chain(ctx, address, now)
	}
	if err != nil {
		return nil, err
	}
	if !got.judged(now) {
		until, err := c.check(got, now)
		if err != nil {
			return nil, err
		}
		c.remember(address, got.leaf, now, until)
	}
	key, ok := got.leaf.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errCertificate
	}
	return key, nil
}

// forget drops a kept certificate.
func (c *certificates) forget(address string, leaf *x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept, ok := c.good[address]; ok && kept.leaf == leaf {
		delete(c.good, address)
	}
}

// remember notes that a kept certificate was judged good.
func (c *certificates) remember(address string, leaf *x509.Certificate, now, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept, ok := c.good[address]; ok && kept.leaf == leaf {
		kept.from, kept.until = now, until
		c.good[address] = kept
	}
}

// check judges a chain at this moment: to a root we trust, for PayPal's name, in time.
// A chain without a root we know may just lack a link, so PayPal may be asked. The
// judgement holds until a certificate of the chain ends, and for goodFor at most.
func (c *certificates) check(got chain, now time.Time) (until time.Time, err error) {
	inter := x509.NewCertPool()
	for _, cert := range got.inter {
		inter.AddCert(cert)
	}
	paths, err := got.leaf.Verify(x509.VerifyOptions{
		DNSName: c.rules.name, Roots: c.roots, Intermediates: inter, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil && len(paths) > 0:
		until = now.Add(goodFor)
		for _, cert := range paths[0] {
			if cert.NotAfter.Before(until) {
				until = cert.NotAfter
			}
		}
		return until, nil
	case errors.As(err, &unknown):
		return until, errNoCertificate
	default:
		return until, errCertificate
	}
}

// chain is the kept chain of an address, or downloads it once for all who wait.
func (c *certificates) chain(ctx context.Context, address string, now time.Time) (chain, error) {
	c.mu.Lock()
	if got, ok := c.good[address]; ok {
		got.used = now
		c.good[address] = got
		c.mu.Unlock()
		return got, nil
	}
	if f, ok := c.bad[address]; ok && now.Before(f.until) {
		c.mu.Unlock()
		return chain{}, f.err
	}
	if l, ok := c.loading[address]; ok {
		c.mu.Unlock()
		select {
		case <-l.done:
			return l.chain, l.err
		case <-ctx.Done():
			return chain{}, errNoCertificate
		}
	}
	l := &loading{done: make(chan struct{}), err: errNoCertificate}
	c.loading[address] = l
	c.mu.Unlock()
	defer func() { // also if the download panics: nobody may wait for ever
		c.mu.Lock()
		delete(c.loading, address)
		c.keep(address, l, now)
		c.mu.Unlock()
		close(l.done)
	}()
	l.chain, l.err = c.download(context.WithoutCancel(ctx), address)
	return l.chain, l.err
}

// keep remembers what a download brought. Only a chain that holds now displaces
// others; both memories are bounded, whatever addresses callers think up.
func (c *certificates) keep(address string, l *loading, now time.Time) {
	err := l.err
	if err == nil {
		l.chain.until, err = c.check(l.chain, now)
	}
	if err == nil {
		if len(c.good) >= maxGood {
			oldest := ""
			for a, g := range c.good {
				if oldest == "" || g.used.Before(c.good[oldest].used) {
					oldest = a
				}
			}
			delete(c.good, oldest)
		}
		l.chain.used, l.chain.from = now, now
		c.good[address] = l.chain
		return
	}
	if len(c.bad) >= maxBad {
		clear(c.bad)
	}
	c.bad[address] = failure{err: err, until: now.Add(badFor)}
}

// download reads a chain: the signing certificate first, what signed it after.
func (c *certificates) download(ctx context.Context, address string) (chain, error) {
	ctx, cancel := context.WithTimeout(ctx, certTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return chain{}, errCertificate
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return chain{}, errNoCertificate
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxChain+1))
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	switch {
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		return chain{}, errNoCertificate
	case resp.StatusCode != http.StatusOK, len(body) > maxChain: // redirects are not followed
		return chain{}, errCertificate
	case err != nil:
		return chain{}, errNoCertificate
	}
	return parseChain(body)
}

func parseChain(body []byte) (chain, error) {
	var out chain
	for n := 0; n < maxChainCerts; n++ {
		var block *pem.Block
		block, body = pem.Decode(body)
		if block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return chain{}, errCertificate
		}
		if out.leaf == nil {
			out.leaf = cert
		} else {
			out.inter = append(out.inter, cert)
		}
	}
	if out.leaf == nil {
		return chain{}, errCertificate
	}
	return out, nil
}
