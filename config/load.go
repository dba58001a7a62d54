package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// EnvPrefix starts every environment variable that sets a key:
// accounts[0].secret_key is TRIFECTA_ACCOUNTS_0_SECRET_KEY. An empty variable
// counts as not set.
const EnvPrefix = "TRIFECTA_"

// maxFile bounds what is read of any one file, in bytes.
const maxFile = 1 << 20

// Options says where Load reads from.
type Options struct {
	// File is a YAML file; "" reads the environment alone.
	File string
	// Environ is the environment as os.Environ gives it. Only what is here is
	// seen, so tests need no process environment.
	Environ []string
	// Unregistered accepts accounts that have no webhook secret or id yet: for the
	// command that registers them, which is how one gets them.
	Unregistered bool
}

// raw is the file's shape. Its strings hold secrets in the clear, so it never
// leaves this package and is never printed.
type raw struct {
	PublicURL       string       `yaml:"public_url" env:"PUBLIC_URL"`
	Store           string       `yaml:"store" env:"STORE"`
	StoreFile       string       `yaml:"store_file" env:"STORE_FILE"`
	HTTP            rawHTTP      `yaml:"http" envPrefix:"HTTP_"`
	Accounts        []rawAccount `yaml:"accounts" envPrefix:"ACCOUNTS_"`
	Apps            []rawApp     `yaml:"apps" envPrefix:"APPS_"`
	Layers          rawLayers    `yaml:"layers" envPrefix:"LAYERS_"`
	TestClock       string       `yaml:"test_clock" env:"TEST_CLOCK"`
	AllowSQLiteLive bool         `yaml:"allow_sqlite_live" env:"ALLOW_SQLITE_LIVE"`
	BrandName       string       `yaml:"brand_name" env:"BRAND_NAME"`
	Alerts          rawAlerts    `yaml:"alerts" envPrefix:"ALERTS_"`
	Risk            []rawRisk    `yaml:"risk" envPrefix:"RISK_"`

	Encryption         rawEncryption `yaml:"encryption" envPrefix:"ENCRYPTION_"`
	AllowPlaintextLive bool          `yaml:"allow_plaintext_live" env:"ALLOW_PLAINTEXT_LIVE"`
	Retention          rawRetention  `yaml:"retention" envPrefix:"RETENTION_"`
}

type rawEncryption struct {
	Keys   []rawKey `yaml:"keys" envPrefix:"KEYS_"`
	Active string   `yaml:"active" env:"ACTIVE"`
	Lost   []string `yaml:"lost" env:"LOST"`
}

type rawKey struct {
	ID      string `yaml:"id" env:"ID"`
	Key     string `yaml:"key" env:"KEY"`
	KeyFile string `yaml:"key_file" env:"KEY_FILE"`
}

type rawRetention struct {
	InboxBodies    int `yaml:"inbox_bodies" env:"INBOX_BODIES"`
	Inbox          int `yaml:"inbox" env:"INBOX"`
	Feed           int `yaml:"feed" env:"FEED"`
	Runs           int `yaml:"runs" env:"RUNS"`
	AlertsResolved int `yaml:"alerts_resolved" env:"ALERTS_RESOLVED"`
}

type rawHTTP struct {
	Addr         string `yaml:"addr" env:"ADDR"`
	InternalAddr string `yaml:"internal_addr" env:"INTERNAL_ADDR"`
}

type rawAccount struct {
	Name                      string   `yaml:"name" env:"NAME"`
	Provider                  string   `yaml:"provider" env:"PROVIDER"`
	Mode                      string   `yaml:"mode" env:"MODE"`
	SecretKey                 string   `yaml:"secret_key" env:"SECRET_KEY"`
	SecretKeyFile             string   `yaml:"secret_key_file" env:"SECRET_KEY_FILE"`
	WebhookSecrets            []string `yaml:"webhook_secrets" env:"WEBHOOK_SECRETS"`
	WebhookSecretsFile        string   `yaml:"webhook_secrets_file" env:"WEBHOOK_SECRETS_FILE"`
	ConnectWebhookSecrets     []string `yaml:"connect_webhook_secrets" env:"CONNECT_WEBHOOK_SECRETS"`
	ConnectWebhookSecretsFile string   `yaml:"connect_webhook_secrets_file" env:"CONNECT_WEBHOOK_SECRETS_FILE"`
	APIBase                   string   `yaml:"api_base" env:"API_BASE"`
	ClientID                  string   `yaml:"client_id" env:"CLIENT_ID"`
	ClientSecret              string   `yaml:"client_secret" env:"CLIENT_SECRET"`
	ClientSecretFile          string   `yaml:"client_secret_file" env:"CLIENT_SECRET_FILE"`
	WebhookIDs                []string `yaml:"webhook_ids" env:"WEBHOOK_IDS"`
	WebhookRootCA             string   `yaml:"webhook_root_ca" env:"WEBHOOK_ROOT_CA"`
	WebhookCertHosts          []string `yaml:"webhook_cert_hosts" env:"WEBHOOK_CERT_HOSTS"`
	SecretExpires             string   `yaml:"secret_expires" env:"SECRET_EXPIRES"`
	IgnoreForeign             bool     `yaml:"ignore_foreign" env:"IGNORE_FOREIGN"`
}

type rawApp struct {
	Name          string      `yaml:"name" env:"NAME"`
	Mode          string      `yaml:"mode" env:"MODE"`
	ReturnOrigins []string    `yaml:"return_origins" env:"RETURN_ORIGINS"`
	Disputes      rawDisputes `yaml:"disputes" envPrefix:"DISPUTES_"`
}

// rawLayers has pointers to tell "off" from "not said", which means on.
type rawLayers struct {
	Return    *bool `yaml:"return" env:"RETURN"`
	Webhook   *bool `yaml:"webhook" env:"WEBHOOK"`
	Reconcile *bool `yaml:"reconcile" env:"RECONCILE"`
}

// Load reads the file, lays the environment over it, reads the secret files and
// validates. The error is an *Error with all faults; the Config is usable only
// when there is none. Relative paths start at the working directory.
func Load(opts Options) (Config, error) {
	l := loader{file: opts.File, environ: environMap(opts.Environ), lines: map[string]int{}}
	var r raw
	if opts.File != "" {
		l.readYAML(&r)
	}
	if l.unreadable {
		return Config{}, l.faults.err(opts.File)
	}
	l.overlayEnv(&r)
	cfg := l.resolve(&r)
	l.checkFiles(cfg)
	// What could not be read needs no second complaint that it is missing.
	rules := slices.DeleteFunc(validate(cfg), func(f Fault) bool { return l.faults.has(f.Path) })
	if opts.Unregistered {
		rules = slices.DeleteFunc(rules, func(f Fault) bool {
			return f.Problem == "is missing" && (strings.HasSuffix(f.Path, ".webhook_secrets") || strings.HasSuffix(f.Path, ".webhook_ids"))
		})
	}
	l.faults.list = append(l.faults.list, rules...)
	l.locate()
	if err := l.faults.err(opts.File); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// loader is one run of Load.
type loader struct {
	file    string
	environ map[string]string
	// lines says where each key path stands in the file.
	lines      map[string]int
	faults     faults
	unreadable bool
}

func environMap(environ []string) map[string]string {
	m := make(map[string]string, len(environ))
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			m[k] = v
		}
	}
	return m
}

// overlayEnv sets every key that has a variable.
func (l *loader) overlayEnv(r *raw) {
	ours := map[string]string{}
	for k, v := range l.environ {
		if strings.HasPrefix(k, EnvPrefix) && v != "" {
			ours[k] = v
		}
	}
	err := env.ParseWithOptions(r, env.Options{Environment: ours, Prefix: EnvPrefix})
	if all, ok := errors.AsType[env.AggregateError](err); ok {
		for _, e := range all.Errors {
			// Only booleans and numbers can fail to parse, so no secret is in the message.
			l.faults.add("", "environment: "+e.Error(), "Write true or false, or a whole number of days")
		}
	} else if err != nil {
		l.faults.add("", "environment: "+err.Error(), "")
	}
	l.unknownVariables(ours, r)
	// A variable replaces what the file said, and so also what was wrong with it.
	l.faults.list = slices.DeleteFunc(l.faults.list, func(f Fault) bool {
		return f.Path != "" && ours[envName(f.Path)] != ""
	})
}

var structured = regexp.MustCompile(`^TRIFECTA_(ACCOUNTS|APPS|RISK|ENCRYPTION_KEYS|ALERTS_CHANNELS|ALERTS_ROUTES|ALERTS_ESCALATIONS)_(\d+)_(.+)$|^TRIFECTA_(LAYERS|ENCRYPTION|RETENTION|ALERTS_QUIET_HOURS)_(.+)$`)

// unknownVariables refuses misspelt variables of the groups, where a typing
// mistake would silently leave a layer on or a secret out. Others are left
// alone: an orchestrator adds variables of its own (TRIFECTA_SERVICE_HOST).
func (l *loader) unknownVariables(ours map[string]string, r *raw) {
	groups := map[string]struct {
		of  reflect.Type
		len int
	}{
		"ACCOUNTS": {reflect.TypeFor[rawAccount](), len(r.Accounts)},
		"APPS":     {reflect.TypeFor[rawApp](), len(r.Apps)},
		"LAYERS":   {reflect.TypeFor[rawLayers](), 0},
		"RISK":     {reflect.TypeFor[rawRisk](), len(r.Risk)},

		"ENCRYPTION_KEYS":    {reflect.TypeFor[rawKey](), len(r.Encryption.Keys)},
		"ENCRYPTION":         {reflect.TypeFor[rawEncryption](), 0},
		"RETENTION":          {reflect.TypeFor[rawRetention](), 0},
		"ALERTS_CHANNELS":    {reflect.TypeFor[rawAlertChannel](), len(r.Alerts.Channels)},
		"ALERTS_ROUTES":      {reflect.TypeFor[rawAlertRoute](), len(r.Alerts.Routes)},
		"ALERTS_ESCALATIONS": {reflect.TypeFor[rawAlertEscalation](), len(r.Alerts.Escalations)},
		"ALERTS_QUIET_HOURS": {reflect.TypeFor[rawQuietHours](), 0},
	}
	names := make([]string, 0, len(ours))
	for name := range ours {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m := structured.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		group, key := m[1]+m[4], m[3]+m[5]
		below, nested := strings.CutPrefix(key, "DISPUTES_")
		nested = nested && group == "APPS" && slices.Contains(tagValues(reflect.TypeFor[rawDisputes](), "env"), below)
		if !nested && !slices.Contains(tagValues(groups[group].of, "env"), key) {
			l.faults.list = append(l.faults.list, Fault{
				Env: name, Problem: "unknown variable",
				Fix: "Known here are " + strings.Join(tagValues(groups[group].of, "env"), ", "),
			})
			continue
		}
		if i, err := strconv.Atoi(m[2]); m[2] != "" && (err != nil || i >= groups[group].len) {
			l.faults.list = append(l.faults.list, Fault{
				Env: name, Problem: "the index leaves a gap",
				Fix: "Count from 0 without leaving one out",
			})
		}
	}
}

// resolve turns the file's shape into a Config: defaults, secret files.
func (l *loader) resolve(r *raw) Config {
	on := func(b *bool) bool { return b == nil || *b }
	orElse := func(s, def string) string {
		if s == "" {
			return def
		}
		return s
	}
	cfg := Config{
		PublicURL: strings.TrimSuffix(r.PublicURL, "/"),
		Store:     l.secret("store", r.Store, "store_file", r.StoreFile),
		HTTP: HTTP{
			Addr:         orElse(r.HTTP.Addr, DefaultAddr),
			InternalAddr: orElse(r.HTTP.InternalAddr, DefaultInternalAddr),
		},
		Layers:          Layers{Return: on(r.Layers.Return), Webhook: on(r.Layers.Webhook), Reconcile: on(r.Layers.Reconcile)},
		TestClock:       strings.TrimSuffix(r.TestClock, "/"),
		AllowSQLiteLive: r.AllowSQLiteLive,
		BrandName:       r.BrandName,

		Encryption: Encryption{Active: r.Encryption.Active, Lost: r.Encryption.Lost}, AllowPlaintextLive: r.AllowPlaintextLive,
		Retention: Retention(r.Retention),
		Alerts:    l.alerts(r.Alerts),
	}
	if cfg.Store.IsZero() && r.StoreFile == "" {
		cfg.Store = NewSecret(DefaultStore)
	}
	for i, a := range r.Accounts {
		cfg.Accounts = append(cfg.Accounts, l.account(fmt.Sprintf("accounts[%d].", i), a))
	}
	for i, k := range r.Encryption.Keys {
		at := fmt.Sprintf("encryption.keys[%d].", i)
		cfg.Encryption.Keys = append(cfg.Encryption.Keys, EncryptionKey{ID: k.ID, Key: l.secret(at+"key", k.Key, at+"key_file", k.KeyFile)})
	}
	cfg.Risk = l.riskRules(r.Risk)
	for _, a := range r.Apps {
		cfg.Apps = append(cfg.Apps, App{Name: a.Name, Mode: a.Mode, ReturnOrigins: a.ReturnOrigins, Disputes: a.Disputes.policy()})
	}
	return cfg
}

func (l *loader) account(at string, a rawAccount) Account {
	return Account{
		Name:                  a.Name,
		Provider:              a.Provider,
		Mode:                  a.Mode,
		SecretKey:             l.secret(at+"secret_key", a.SecretKey, at+"secret_key_file", a.SecretKeyFile),
		WebhookSecrets:        l.secrets(at+"webhook_secrets", a.WebhookSecrets, a.WebhookSecretsFile),
		ConnectWebhookSecrets: l.secrets(at+"connect_webhook_secrets", a.ConnectWebhookSecrets, a.ConnectWebhookSecretsFile),
		APIBase:               strings.TrimSuffix(a.APIBase, "/"),
		ClientID:              a.ClientID,
		ClientSecret:          l.secret(at+"client_secret", a.ClientSecret, at+"client_secret_file", a.ClientSecretFile),
		WebhookIDs:            a.WebhookIDs,
		WebhookRootCA:         a.WebhookRootCA,
		WebhookCertHosts:      a.WebhookCertHosts,
		SecretExpires:         l.date(at+"secret_expires", a.SecretExpires),
		IgnoreForeign:         a.IgnoreForeign,
	}
}

// date reads a day, as the moment it begins in UTC.
func (l *loader) date(at, s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, s)
	if err != nil {
		l.faults.add(at, "is not a date", "Write it like 2027-03-31")
	}
	return day
}

// secret takes the value or the file's contents. A fault of the file is noted
// under the value's path as well, so that it isn't called missing on top.
func (l *loader) secret(path, value, filePath, file string) Secret {
	if file == "" {
		return NewSecret(value)
	}
	if value != "" {
		l.faults.add(path, "is given both here and as "+filePath, "Keep one of them")
		return NewSecret(value)
	}
	text, problem, fix := readSecretFile(file)
	if problem != "" {
		l.faults.list = append(l.faults.list, Fault{Path: path, Problem: filePath + ": " + problem, Fix: fix})
	}
	return NewSecret(text)
}

// secrets is secret for a list: in a file, one a line.
func (l *loader) secrets(path string, values []string, file string) []Secret {
	if file != "" {
		if len(values) > 0 {
			l.faults.add(path, "is given both here and as "+path+"_file", "Keep one of them")
			return nil
		}
		text, problem, fix := readSecretFile(file)
		if problem != "" {
			l.faults.list = append(l.faults.list, Fault{Path: path, Problem: path + "_file: " + problem, Fix: fix})
			return nil
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				values = append(values, line)
			}
		}
	}
	var out []Secret
	for _, v := range values {
		out = append(out, NewSecret(v))
	}
	return out
}

// readSecretFile returns a file's text without the line end that editors add.
// A file that others may read is refused: it has to be thought compromised.
func readSecretFile(name string) (text, problem, fix string) {
	b, info, err := readFile(name)
	if err != nil {
		return "", err.Error(), "Check the path and that this user may read it"
	}
	if perm := info.Mode().Perm(); perm&0o007 != 0 {
		return "", fmt.Sprintf("%s has mode %04o: any user of this machine may use it", name, perm),
			"Run chmod 600 on it (mounted secrets: set the mount's mode to 0400), and replace the secret if others had access"
	}
	return strings.TrimRight(string(b), "\r\n"), "", ""
}

func readFile(name string) ([]byte, os.FileInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be opened: %w", err)
	}
	defer func() { _ = f.Close() }() // Only read from: there is nothing to lose.
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be examined: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(b) > maxFile {
		return nil, nil, fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return b, info, nil
}

// checkFiles looks into the files that a Config names without holding them.
func (l *loader) checkFiles(cfg Config) {
	for i, a := range cfg.Accounts {
		if a.WebhookRootCA == "" {
			continue
		}
		path := fmt.Sprintf("accounts[%d].webhook_root_ca", i)
		b, _, err := readFile(a.WebhookRootCA)
		if err != nil {
			l.faults.add(path, err.Error(), "Save the sandbox's GET /_sandbox/ca.pem there")
			continue
		}
		block, _ := pem.Decode(bytes.TrimSpace(b))
		if block == nil {
			l.faults.add(path, "holds no PEM block", "Save the sandbox's GET /_sandbox/ca.pem there")
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			l.faults.add(path, "holds no certificate: "+err.Error(), "Save the sandbox's GET /_sandbox/ca.pem there")
		}
	}
}

// locate says for each fault where its value came from.
func (l *loader) locate() {
	for i := range l.faults.list {
		f := &l.faults.list[i]
		if f.Path == "" || f.Env != "" || f.Line > 0 {
			continue
		}
		if name := envName(f.Path); l.environ[name] != "" {
			f.Env = name
			continue
		}
		for path := f.Path; f.Line == 0; {
			f.Line = l.lines[path]
			cut := strings.LastIndexAny(path, ".[")
			if cut < 0 {
				break
			}
			path = path[:cut]
		}
	}
}

// envName is the variable of a key path. An element of a list of plain values
// comes from the list's variable.
func envName(path string) string {
	if open := strings.LastIndexByte(path, '['); open > 0 && strings.HasSuffix(path, "]") {
		path = path[:open]
	}
	return EnvPrefix + strings.ToUpper(strings.NewReplacer("[", "_", "]", "", ".", "_").Replace(path))
}

// tagValues lists a struct's values of one tag.
func tagValues(t reflect.Type, tag string) []string {
	var out []string
	for i := range t.NumField() {
		if v := t.Field(i).Tag.Get(tag); v != "" {
			out = append(out, v)
		}
	}
	return out
}
