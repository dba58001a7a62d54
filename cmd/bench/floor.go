package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	stripesdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/sqlite"
)

// The floor is what any gateway has to do, and nothing else: for a payment, one
// document written before the provider call and again after it; for a webhook, one
// HMAC and one document. It uses the same store engine, the same SDK and the same
// HTTP framework as the gateway, so that the ratio tells what the gateway adds.

const floorDocs = "floor"

func serveFloor(ctx context.Context, file, stripeURL string) error {
	engine, err := sqlite.Open(ctx, sqlite.Options{Path: file, Collections: []store.Collection{{Name: floorDocs}}})
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	f := floor{engine: engine, sdk: stripeClient(stripeURL)}
	e.POST("/create", f.create)
	e.POST("/hook", f.hook)
	srv := &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second}
	fmt.Printf("floor at http://%s\n", l.Addr())
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return errors.Join(err, engine.Close())
	case <-ctx.Done():
	}
	return errors.Join(srv.Close(), engine.Close())
}

type floor struct {
	engine store.Engine
	sdk    *client.API
}

// stripeClient is stripe-go as the gateway sets it up: no retries, no telemetry.
func stripeClient(base string) *client.API {
	backend := stripesdk.GetBackendWithConfig(stripesdk.APIBackend, &stripesdk.BackendConfig{
		URL: stripesdk.String(base), MaxNetworkRetries: stripesdk.Int64(0), EnableTelemetry: stripesdk.Bool(false),
		HTTPClient:    &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 128}},
		LeveledLogger: &stripesdk.LeveledLogger{Level: stripesdk.LevelNull},
	})
	return client.New("sk_test_bench", &stripesdk.Backends{API: backend, Connect: backend, Uploads: backend})
}

// session opens one Checkout Session, with what the gateway sends too.
func session(ctx context.Context, sdk *client.API, id string, amount int64) (*stripesdk.CheckoutSession, error) {
	p := &stripesdk.CheckoutSessionParams{
		Params: stripesdk.Params{Context: ctx}, Mode: stripesdk.String("payment"), ClientReferenceID: &id,
		SuccessURL: stripesdk.String("http://127.0.0.1:9/thanks"), CancelURL: stripesdk.String("http://127.0.0.1:9/thanks"),
		LineItems: []*stripesdk.CheckoutSessionLineItemParams{{
			Quantity: stripesdk.Int64(1), PriceData: &stripesdk.CheckoutSessionLineItemPriceDataParams{
				Currency: stripesdk.String("usd"), UnitAmount: &amount,
				ProductData: &stripesdk.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripesdk.String("Order")},
			},
		}},
		PaymentIntentData: &stripesdk.CheckoutSessionPaymentIntentDataParams{Metadata: map[string]string{"order": id}},
	}
	p.AddMetadata("order", id)
	p.SetIdempotencyKey(id)
	return sdk.CheckoutSessions.New(p)
}

// record is about as large as a fresh payment's document.
type record struct {
	ID, State, URL, Session string
	Amount                  int64
	Filler                  string
}

func (f floor) create(c *gin.Context) {
	var in struct {
		Amount int64 `json:"amount"`
	}
	if err := c.BindJSON(&in); err != nil {
		return
	}
	r := record{ID: "flo_" + rand.Text(), State: "pending", Amount: in.Amount, Filler: strings.Repeat("x", 1500)}
	ctx := c.Request.Context()
	err := f.write(ctx, r, 0)
	if err == nil {
		var s *stripesdk.CheckoutSession
		if s, err = session(ctx, f.sdk, r.ID, in.Amount); err == nil {
			r.State, r.Session, r.URL = "open", s.ID, s.URL
			err = f.write(ctx, r, 1)
		}
	}
	if err != nil {
		c.String(http.StatusInternalServerError, err.Error())
		return
	}
	c.JSON(http.StatusCreated, r)
}

func (f floor) write(ctx context.Context, r record, version int64) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	d := store.Doc{ID: r.ID, Body: body}
	if version == 0 {
		return f.engine.Insert(ctx, floorDocs, d)
	}
	return f.engine.Replace(ctx, floorDocs, d, version)
}

func (f floor) hook(c *gin.Context) {
	body, err := io.ReadAll(io.LimitReader(c.Request.Body, 1<<20))
	if err != nil {
		c.Status(http.StatusBadRequest)
		return
	}
	t, sig, _ := strings.Cut(strings.TrimPrefix(c.GetHeader("Stripe-Signature"), "t="), ",v1=")
	want := hex.EncodeToString(mac(t, body))
	if !hmac.Equal([]byte(want), []byte(sig)) {
		c.Status(http.StatusBadRequest)
		return
	}
	if err := f.engine.Insert(c.Request.Context(), floorDocs, store.Doc{ID: "hook_" + rand.Text(), Body: body}); err != nil {
		c.Status(http.StatusServiceUnavailable)
		return
	}
	c.Status(http.StatusOK)
}

// mac is Stripe's signature of a webhook (Stripe docs: verify signatures manually).
func mac(t string, body []byte) []byte {
	m := hmac.New(sha256.New, []byte(stripeHook))
	_, _ = m.Write([]byte(t + ".")) // a hash never fails
	_, _ = m.Write(body)
	return m.Sum(nil)
}
