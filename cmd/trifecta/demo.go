package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/cmd/trifecta/mailbox"
	"github.com/trifecta-pay/trifecta/cmd/trifecta/shop"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// What the demo is made of. The keys are public on purpose: they open nothing
// but a sandbox on this machine.
const (
	demoApp         = "demo"
	demoKey         = "tk_test_demo"
	demoOperatorKey = "tk_op_demo"
)

type demoOptions struct {
	addr, internalAddr, shopAddr, mailAddr, stripeAddr, paypalAddr, data, layers string
	mailGiven                                                                    bool // mailAddr was asked for
	verbose                                                                      bool
}

func (p program) demo() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Everything in one process: a shop, the API, and a sandbox that plays Stripe and PayPal",
		Long: `Run the whole of Trifecta in one process, with nothing to configure: an embedded
database, a sandbox that plays Stripe and PayPal, the gateway, and a small demo
shop that uses nothing but the public API.

Open the shop, buy something, and pay with a test card. Dispute the payment on
the order's page, and see the alert arrive in the inbox. No real money is
anywhere near. Without --data everything is gone when it stops; the sandbox
and the shop's list of orders always are.`,
		Example: "  trifecta demo\n  trifecta demo --data ./demo-data --layers return",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.mailGiven = cmd.Flags().Changed("mail-addr")
			return p.runDemo(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.addr, "addr", "127.0.0.1:8080", "where the API listens")
	f.StringVar(&o.internalAddr, "internal-addr", "127.0.0.1:8081", "where health and metrics listen")
	f.StringVar(&o.shopAddr, "shop-addr", "127.0.0.1:8090", "where the demo shop listens")
	f.StringVar(&o.mailAddr, "mail-addr", "127.0.0.1:8025", "where the inbox with the admins' mails listens; a free port where this one is taken")
	f.StringVar(&o.stripeAddr, "stripe-addr", stripeAddr, "where the Stripe sandbox listens")
	f.StringVar(&o.paypalAddr, "paypal-addr", paypalAddr, "where the PayPal sandbox listens")
	f.StringVar(&o.data, "data", "", "directory to keep the database in, made if absent (default: a temporary one)")
	f.StringVar(&o.layers, "layers", "return,webhook,reconcile", "which layers run: any of return, webhook, reconcile")
	f.BoolVar(&o.verbose, "verbose", false, "log every request and step")
	return cmd
}

func (p program) runDemo(ctx context.Context, o demoOptions) (err error) {
	layers, err := parseLayers(o.layers)
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	log := p.logger(true, level)
	dir, cleanup, err := dataDir(o.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanup()) }()

	h, box := (*house.House)(nil), opened{}
	box, err = openSandbox(ctx, o.stripeAddr, o.paypalAddr, log, func(ctx context.Context) {
		deliveries := house.Worker{Name: "sandbox", Step: box.world.StepDeliveries}
		if err := h.Quiesce(ctx, deliveries); err != nil {
			log.WarnContext(ctx, "the demo did not become quiet", "error", err)
		}
	})
	if err != nil {
		return err
	}
	ours, err := openDemo(ctx, o)
	if err != nil {
		return err
	}
	mail, smtp, err := openMailbox(ctx, box.world.Wall, log)
	if err != nil {
		return err
	}
	cfg, err := demoConfig(box, dir, layers, ours, smtp)
	if err != nil {
		return err
	}
	h, err = house.Build(ctx, house.Options{Config: cfg, Clock: box.world.Now, Wall: box.world.Wall, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if err := addDemoKeys(ctx, h.Service); err != nil {
		return err
	}
	front, err := shop.New(shop.Options{
		API: cfg.PublicURL, Key: demoKey, BaseURL: "http://" + ours[2].Addr().String(), Clock: box.world.Now, NewID: rand.Text, Logger: log,
		Dispute: box.dispute, Inbox: "http://" + ours[3].Addr().String(),
	})
	if err != nil {
		return err
	}
	p.welcome(cfg, ours, box)
	err = serveAll(ctx, log, running{
		sites: []site{
			box.stripe, box.paypal,
			{name: "public", listener: ours[0], handler: h.Public},
			{name: "internal", listener: ours[1], handler: h.Internal(), last: true},
			{name: "shop", listener: ours[2], handler: front},
			{name: "mail", listener: ours[3], handler: mail},
		},
		workers: func(ctx context.Context) error {
			return all(ctx, h.Run, front.Follow, func(ctx context.Context) error { return mail.Serve(ctx, smtp) },
				func(ctx context.Context) error { box.world.Run(ctx); return nil })
		},
		stopping: h.Stopping, cut: h.Cut,
	})
	return errors.Join(err, h.Leave(ctx))
}

// all runs several until each has ended.
func all(ctx context.Context, first func(context.Context) error, more ...func(context.Context) error) error {
	if len(more) == 0 {
		return first(ctx)
	}
	return both(ctx, first, func(ctx context.Context) error { return all(ctx, more[0], more[1:]...) })
}

// openMailbox makes the demo's mail server, at a port that is free.
func openMailbox(ctx context.Context, clock func() time.Time, log *slog.Logger) (*mailbox.Mailbox, net.Listener, error) {
	mail, err := mailbox.New(clock, log)
	if err != nil {
		return nil, nil, err
	}
	smtp, err := listen(ctx, "the demo's mail server", "127.0.0.1:0")
	return mail, smtp, err
}

// dispute has a customer of the sandbox dispute a capture.
func (b opened) dispute(ctx context.Context, provider, capture string) error {
	at, body := b.stripe, map[string]string{"charge": capture}
	if provider == config.ProviderPayPal {
		at, body = b.paypal, map[string]string{"capture": capture}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at.listener.Addr().String()+"/_sandbox/disputes", bytes.NewReader(raw))
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return fmt.Errorf("the sandbox can't be reached: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the sandbox answered %d: %s", resp.StatusCode, answer)
	}
	return nil
}

// openDemo opens the demo's own listeners: public, internal, shop, inbox. The inbox gives
// way to whoever has its usual port, such as another demo whose other addresses were
// moved: nothing is told that address but the shop's page.
func openDemo(ctx context.Context, o demoOptions) ([4]net.Listener, error) {
	var out [4]net.Listener
	for i, l := range []struct{ flag, addr string }{
		{"--addr", o.addr}, {"--internal-addr", o.internalAddr}, {"--shop-addr", o.shopAddr}, {"--mail-addr", o.mailAddr},
	} {
		var err error
		out[i], err = listen(ctx, l.flag, l.addr)
		if l.flag == "--mail-addr" && !o.mailGiven && errors.Is(err, syscall.EADDRINUSE) {
			out[i], err = listen(ctx, l.flag, "127.0.0.1:0")
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (p program) welcome(cfg config.Config, ours [4]net.Listener, box opened) {
	_, _ = fmt.Fprintf(p.out, `
Trifecta demo is running. No real money is anywhere near.

  Open the shop     http://%s      buy something; pay with 4242 4242 4242 4242
  Open the inbox    http://%s      alerts to the admins; dispute a payment in the shop
  API and its docs  %s/docs      key %s, operator key %s
  Stripe sandbox    http://%s
  PayPal sandbox    http://%s

Stop with Ctrl-C.
`, ours[2].Addr(), ours[3].Addr(), cfg.PublicURL, demoKey, demoOperatorKey, box.stripe.listener.Addr(), box.paypal.listener.Addr())
}

func parseLayers(s string) (config.Layers, error) {
	var l config.Layers
	for _, name := range strings.Split(s, ",") {
		switch strings.TrimSpace(name) {
		case "return":
			l.Return = true
		case "webhook":
			l.Webhook = true
		case "reconcile":
			l.Reconcile = true
		case "":
		default:
			return l, fmt.Errorf("--layers: %q is not a layer; the layers are return, webhook and reconcile", name)
		}
	}
	return l, nil
}

// dataDir makes the directory for the database, a temporary one by default.
func dataDir(dir string) (string, func() error, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "trifecta-demo-")
		if err != nil {
			return "", nil, fmt.Errorf("make a temporary directory: %w", err)
		}
		return made, func() error { return os.RemoveAll(made) }, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("--data: %w", err)
	}
	return dir, func() error { return nil }, nil
}

// demoConfig is the configuration of the demo: one account at each sandbox, one
// app, and webhook endpoints registered in the sandbox.
func demoConfig(box opened, dir string, layers config.Layers, ours [4]net.Listener, smtp net.Listener) (config.Config, error) {
	public, paypalHost := "http://"+ours[0].Addr().String(), box.paypal.listener.Addr().String()
	stripe := box.world.AddEndpoint(sandbox.Endpoint{API: "stripe", URL: public + "/webhooks/stripe/stripe-demo", Secret: "whsec_" + rand.Text()})
	paypal := box.world.AddEndpoint(sandbox.Endpoint{API: "paypal", URL: public + "/webhooks/paypal/paypal-demo", WebhookID: "WH-" + rand.Text()[:17]})
	ca := filepath.Join(dir, "paypal-sandbox-ca.pem")
	if err := os.WriteFile(ca, box.root, 0o600); err != nil {
		return config.Config{}, fmt.Errorf("write the sandbox's certificate: %w", err)
	}
	cfg := config.Config{
		PublicURL: public, Store: config.NewSecret("sqlite:" + filepath.Join(dir, "trifecta.db")),
		HTTP: config.HTTP{Addr: ours[0].Addr().String(), InternalAddr: ours[1].Addr().String()},
		Accounts: []config.Account{
			{
				Name: "stripe-demo", Provider: config.ProviderStripe, Mode: config.ModeTest, SecretKey: config.NewSecret("sk_test_demo"),
				WebhookSecrets: []config.Secret{config.NewSecret(stripe.Secret)}, APIBase: "http://" + box.stripe.listener.Addr().String(),
			},
			{
				Name: "paypal-demo", Provider: config.ProviderPayPal, Mode: config.ModeTest, ClientID: "demo", ClientSecret: config.NewSecret("demo"),
				WebhookIDs: []string{paypal.WebhookID}, APIBase: "http://" + paypalHost, WebhookRootCA: ca, WebhookCertHosts: []string{paypalHost},
			},
		},
		Apps:   []config.App{{Name: demoApp, Mode: config.ModeTest}},
		Layers: layers, BrandName: "Trifecta demo shop",
		Alerts: demoAlerts(smtp),
	}
	if err := cfg.Validate(); err != nil {
		return config.Config{}, fmt.Errorf("the demo's own configuration: %w", err)
	}
	return cfg, nil
}

// demoAlerts sends every alert to the demo's inbox.
func demoAlerts(smtp net.Listener) config.Alerts {
	port := 0
	if a, ok := smtp.Addr().(*net.TCPAddr); ok {
		port = a.Port
	}
	return config.Alerts{
		Channels: []config.AlertChannel{{
			Name: "inbox", Type: config.ChannelEmail, SMTPHost: "127.0.0.1", SMTPPort: port, SMTPTLS: "none",
			From: "Trifecta demo <alerts@demo.example>", To: []string{"admins@demo.example"},
		}},
		Routes: []config.AlertRoute{{Channels: []string{"inbox"}}},
	}
}

func addDemoKeys(ctx context.Context, s *gateway.Service) error {
	app := gateway.Key{App: demoApp, Mode: payment.ModeTest, Scopes: gateway.AllScopes()}
	if err := s.AddKey(ctx, demoKey, app); err != nil {
		return fmt.Errorf("demo key: %w", err)
	}
	if err := s.AddKey(ctx, demoOperatorKey, gateway.Key{Operator: true}); err != nil {
		return fmt.Errorf("demo operator key: %w", err)
	}
	return nil
}
