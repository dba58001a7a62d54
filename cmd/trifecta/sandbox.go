package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
	"github.com/trifecta-pay/trifecta/providers/sandbox/stripeapi"
)

// Where the sandbox listens by default.
const (
	stripeAddr = "127.0.0.1:12110"
	paypalAddr = "127.0.0.1:12120"
)

func (p program) sandbox() *cobra.Command {
	var stripe, paypal string
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Run stand-ins of Stripe and PayPal with hosted pages, webhooks, faults and a virtual clock",
		Long: `Run stateful stand-ins of both providers' APIs, for trying out and for tests.

An official SDK of any language pointed at them works unchanged: Stripe takes any
key that starts with sk_test_, PayPal any client id and secret. People pay on
hosted pages; tests use the control API below /_sandbox/ (docs/sandbox.md).
All state is in memory and gone when it stops.`,
		Example: "  trifecta sandbox\n  trifecta sandbox --stripe-addr 127.0.0.1:9001 --paypal-addr 127.0.0.1:9002",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, log := cmd.Context(), p.logger(true, slog.LevelWarn)
			box, err := openSandbox(ctx, stripe, paypal, log, nil)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(p.out, `Stripe sandbox  http://%[1]s
PayPal sandbox  http://%[2]s

To try trifecta serve with it, configure these addresses as api_base. PayPal's webhooks
are signed under a certificate that is new at every start; docs/sandbox.md says how to
have it trusted (curl -s http://%[2]s/_sandbox/ca.pem > sandbox-ca.pem).
`, box.stripe.listener.Addr(), box.paypal.listener.Addr())
			return serveAll(ctx, log, running{
				sites:   []site{box.stripe, box.paypal},
				workers: func(ctx context.Context) error { box.world.Run(ctx); return nil },
			})
		},
	}
	cmd.Flags().StringVar(&stripe, "stripe-addr", stripeAddr, "where the Stripe-shaped API listens")
	cmd.Flags().StringVar(&paypal, "paypal-addr", paypalAddr, "where the PayPal-shaped API listens")
	return cmd
}

// opened is a sandbox with its listeners.
type opened struct {
	world          *sandbox.World
	stripe, paypal site
	root           []byte // PEM of the root that PayPal's webhook certificates chain to
}

// openSandbox opens both listeners of one sandbox world.
func openSandbox(ctx context.Context, stripe, paypal string, log *slog.Logger, after func(context.Context)) (opened, error) {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails (crypto/rand docs)
	world := sandbox.NewWorld(sandbox.Options{
		Wall: time.Now, Seed: binary.LittleEndian.Uint64(seed[:]), Client: &http.Client{Timeout: 20 * time.Second},
		Logger: log, AfterAdvance: after,
	})
	chain, err := paypalapi.NewChain(time.Now(), nil)
	if err != nil {
		return opened{}, fmt.Errorf("paypal sandbox: %w", err)
	}
	stripeListener, err := listen(ctx, "--stripe-addr", stripe)
	if err != nil {
		return opened{}, err
	}
	paypalListener, err := listen(ctx, "--paypal-addr", paypal)
	if err != nil {
		return opened{}, errors.Join(err, stripeListener.Close())
	}
	paypalHandler, err := paypalapi.New(world, paypalapi.Options{BaseURL: "http://" + paypalListener.Addr().String(), Chain: chain})
	if err != nil {
		return opened{}, errors.Join(fmt.Errorf("paypal sandbox: %w", err), stripeListener.Close(), paypalListener.Close())
	}
	return opened{
		world: world, root: chain.RootPEM(),
		stripe: site{name: "stripe sandbox", standIn: true, listener: stripeListener, handler: stripeapi.New(world, stripeapi.Options{BaseURL: "http://" + stripeListener.Addr().String()})},
		paypal: site{name: "paypal sandbox", standIn: true, listener: paypalListener, handler: paypalHandler},
	}, nil
}
