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

// The floor is what any gateway has to do, and nothing else: for a payment, the
// document that the gateway writes before the provider call and the one it writes after
// it; for a webhook, one HMAC and one document. It uses the same store engine, the same
// SDK and the same HTTP framework as the gateway, so that the ratio tells what the
// gateway adds.
//
// A second floor, the bare one, writes two smaller documents that nothing can be
// searched by: a gateway that could neither list its payments nor find one by the
// provider's id, nor knew what is due.

const floorDocs = "floor"

// The sizes of the bodies that a creation of the load writes, first and second, as they
// were found in the gateway's store; bare is the bare floor's.
const (
	firstBody  = 2170
	secondBody = 4520
	bareBody   = 1760
)

func serveFloor(ctx context.Context, file, stripeURL string) error {
	engine, err := sqlite.Open(ctx, sqlite.Options{Path: file, Collections: []store.Collection{{Name: floorDocs}, store.PaymentCollection()}})
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
	e.POST("/create", f.createPayment)
	e.POST("/bare", f.createBare)
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

// record is a payment as far as the floor knows one.
type record struct {
	ID, State, URL, Session string
	Amount                  int64
	Made                    time.Time
	Filler                  string
}

// body encodes the record, filled up to a size.
func (r record) body(size int) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil || len(b) >= size {
		return b, err
	}
	r.Filler = strings.Repeat("x", size-len(b))
	return json.Marshal(r)
}

func (f floor) createPayment(c *gin.Context) { f.create(c, f.payment) }

func (f floor) createBare(c *gin.Context) { f.create(c, f.bare) }

// create answers a creation: a write, the provider call, a write.
func (f floor) create(c *gin.Context, write func(context.Context, record, int64) error) {
	var in struct {
		Amount int64 `json:"amount"`
	}
	if err := c.BindJSON(&in); err != nil {
		return
	}
	r := record{ID: "flo_" + rand.Text(), State: "processing", Amount: in.Amount, Made: time.Now().UTC()}
	ctx := c.Request.Context()
	err := write(ctx, r, 0)
	if err == nil {
		var s *stripesdk.CheckoutSession
		if s, err = session(ctx, f.sdk, r.ID, in.Amount); err == nil {
			r.State, r.Session, r.URL = "requires_action", s.ID, s.URL
			err = write(ctx, r, 1)
		}
	}
	if err != nil {
		c.String(http.StatusInternalServerError, err.Error())
		return
	}
	c.JSON(http.StatusCreated, r)
}

// payment writes what the gateway writes: as much, under the same indexes.
func (f floor) payment(ctx context.Context, r record, version int64) error {
	index := map[string]any{
		"tenant": "test/shop", "created": r.Made, "status": r.State, "provider": "stripe", "reference": r.ID,
		"work_at": r.Made.Add(20 * time.Second), "sync_at": r.Made.Add(2 * time.Minute),
	}
	size := firstBody
	if version > 0 {
		size = secondBody
		index["refs"], index["work_at"], index["unfed_since"] = []string{"stripe-bench\x1f" + r.Session}, r.Made.Add(24*time.Hour), r.Made
	}
	return f.write(ctx, store.PaymentCollection().Name, r, size, index, version)
}

func (f floor) bare(ctx context.Context, r record, version int64) error {
	return f.write(ctx, floorDocs, r, bareBody, nil, version)
}

func (f floor) write(ctx context.Context, where string, r record, size int, index map[string]any, version int64) error {
	body, err := r.body(size)
	if err != nil {
		return err
	}
	d := store.Doc{ID: r.ID, Body: body, Index: index}
	if version == 0 {
		return f.engine.Insert(ctx, where, d)
	}
	return f.engine.Replace(ctx, where, d, version)
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
