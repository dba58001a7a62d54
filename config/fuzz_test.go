package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// planted is what FuzzLoad puts into every secret.
const planted = "CanarySecret4f5e6d7c"

// secretValue is a secret's key and the text that follows it, quoted or in brackets or not,
// as far as that is no reference.
var secretValue = regexp.MustCompile(`(?m)((?:^|[\s{,])(?:store|secret_key|client_secret|webhook_secrets|connect_webhook_secrets|key|smtp_password|url|secret): *[\["'|>&*! ]*)([\w+/=:@.?-]*)`)

// Promise: no input makes the loader panic, is refused without words, or has a secret of
// its own quoted in them: what stands where a secret belongs, whatever is wrong around it,
// as plain text, by a variable, or as the key's own variable.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		stripeTest, allLive,
		"risk: [{rule: decline_velocity, window: 99999d, threshold: -1, actions: [refund, x]}, {rule: x, app: y, dry_run: false}]\n",
		"alerts: {channels: [{name: ops, mail: {to: [a@b.c]}}], routes: [{kinds: ['*'], to: [ops]}]}\nencryption: {keys: [{id: a, key: x}], active: b}\nretention: {inbox: 9d}\n",
		"alerts: {channels: [{name: a, type: slack, url: https://hooks.slack.test/x}, {name: b, type: webhook, url: http://x, secret: whsec_x}, {name: c, type: email, smtp_password: x}]}\n",
		"accounts: [[[\n", "? {a: b}\n: c\n", "a: !!binary x\nb: |\n  ${X}\n",
		// What goes wrong on a secret's own line.
		"store: mongodb://u:x@h/t?a=b: c\n", "store: x\nstore: y\n", "store: 'x\n", "store: [x\n", "store: {x: y}\n", "store: &a x\nbrand_name: *b\n", "store: !!int x\n", "store: |x\n  y\n", "store: >- x\n", "store: *x\n", "accounts: [{secret_key: *x}]\n", "store: ! x\n", "\tstore: x\n",
		"store: x\n y: z\n", "store: x y\n  - z\n", "store: x # y\n  z\n", "store: x\x00\n", "store: @x\n", "store: `x\n", "store: %x\n", "store: x\nstore_file: /x\n",
		"accounts:\n  - secret_key: x\n   name: y\n", "accounts:\n  - secret_key: x: y\n", "accounts: [{webhook_secrets: x, client_secret: [y]}]\n", "accounts: {secret_key: x}\n", "encryption: {keys: {key: x}}\n",
		"accounts:\n- name: a\n  secret_key: we_x\n  webhook_secrets: [we_x, sk_live_x]\n  connect_webhook_secrets: [y]\n", "secret_key: x\n", "acounts: [{secret_key: x}]\n",
		"store:x!:\n", "accounts:\n  - secret_key:x: y\n", "accounts: [{secret_key:x: y, mode: test}]\n", "accounts:\n  - secret_key:x\n    mode: test\n", "accounts: [{secret_key:x, mode: test}]\n",
	} {
		for form := range byte(3) {
			f.Add(text, form)
		}
	}
	f.Fuzz(func(t *testing.T, text string, form byte) {
		opts := Options{File: filepath.Join(t.TempDir(), "f.yaml"), Environ: []string{"SECRET=" + planted}}
		refers := strings.Contains(text, "${") // what stands in there is a variable's name, and told when it is not set
		switch form % 3 {
		case 0:
			text = secretValue.ReplaceAllString(text, "${1}${2}"+planted)
		case 1:
			text = secretValue.ReplaceAllString(text, "${1}${2}$${SECRET}")
		default:
			for _, name := range []string{"STORE", "ACCOUNTS_0_SECRET_KEY", "ACCOUNTS_0_CLIENT_SECRET", "ACCOUNTS_0_WEBHOOK_SECRETS", "ENCRYPTION_KEYS_0_KEY", "ALERTS_CHANNELS_0_URL", "ALERTS_CHANNELS_0_SECRET", "ALERTS_CHANNELS_0_SMTP_PASSWORD"} {
				opts.Environ = append(opts.Environ, EnvPrefix+name+"="+planted)
			}
		}
		if err := os.WriteFile(opts.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(opts)
		if err != nil && err.Error() == "" {
			t.Error("a refusal without words")
		}
		if err != nil && !refers && strings.Contains(err.Error(), planted) {
			t.Errorf("a secret is quoted:\n%s\n%v", text, err)
		}
	})
}
