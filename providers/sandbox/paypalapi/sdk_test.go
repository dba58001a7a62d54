package paypalapi_test

import (
	"context"
	"errors"
	"testing"

	"github.com/plutov/paypal/v4"
)

// Guards that an unmodified SDK works against the sandbox, and that its requests as
// well as our answers follow PayPal's documents (every exchange is validated).
func TestSDK(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	ctx := context.Background()
	c, err := paypal.NewClient("any", "thing", e.srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.SetHTTPClient(e.srv.Client())
	if _, err := c.GetAccessToken(ctx); err != nil {
		t.Fatal(err)
	}
	o, err := c.CreateOrderWithPaypalRequestID(ctx, paypal.OrderIntentCapture, []paypal.PurchaseUnitRequest{{
		CustomID: "pay_1", InvoiceID: "INV-1", Amount: &paypal.PurchaseUnitAmount{Currency: "USD", Value: "12.34"},
	}}, nil, &paypal.ApplicationContext{ReturnURL: "https://shop.example.com/a", CancelURL: "https://shop.example.com/b"}, "k1")
	if err != nil || o.Status != "CREATED" {
		t.Fatalf("create = %+v, %v", o, err)
	}
	e.control(200, "/orders/"+o.ID+"/approve", "")
	if got, err := c.GetOrder(ctx, o.ID); err != nil || got.Status != "APPROVED" || got.PurchaseUnits[0].Amount.Value != "12.34" {
		t.Fatalf("get = %+v, %v", got, err)
	}
	// The SDK always sends a payment source on capture; without a token it is null,
	// which PayPal's document refuses, so one is given.
	cap, err := c.CaptureOrder(ctx, o.ID, paypal.CaptureOrderRequest{PaymentSource: &paypal.PaymentSource{Token: &paypal.PaymentSourceToken{ID: "B-1", Type: "BILLING_AGREEMENT"}}})
	if err != nil || cap.Status != "COMPLETED" || len(cap.PurchaseUnits[0].Payments.Captures) != 1 {
		t.Fatalf("capture = %+v, %v", cap, err)
	}
	cid := cap.PurchaseUnits[0].Payments.Captures[0].ID
	if d, err := c.CapturedDetail(ctx, cid); err != nil || d.Status != "COMPLETED" || d.Amount.Value != "12.34" {
		t.Fatalf("capture detail = %+v, %v", d, err)
	}
	r, err := c.RefundCaptureWithPaypalRequestId(ctx, cid, paypal.RefundCaptureRequest{Amount: &paypal.Money{Currency: "USD", Value: "2.34"}}, "r1")
	if err != nil || r.Status != "COMPLETED" {
		t.Fatalf("refund = %+v, %v", r, err)
	}
	_, err = c.RefundCapture(ctx, cid, paypal.RefundCaptureRequest{Amount: &paypal.Money{Currency: "USD", Value: "99.00"}})
	var pe *paypal.ErrorResponse
	if !errors.As(err, &pe) || len(pe.Details) != 1 || pe.Details[0].Issue != "REFUND_AMOUNT_EXCEEDED" {
		t.Fatalf("too large a refund: %v", err)
	}
	hook, err := c.CreateWebhook(ctx, &paypal.CreateWebhookRequest{URL: "https://shop.example.com/hook", EventTypes: []paypal.WebhookEventType{{Name: "*"}}})
	if err != nil || hook.ID == "" {
		t.Fatalf("webhook = %+v, %v", hook, err)
	}
	if err := c.DeleteWebhook(ctx, hook.ID); err != nil {
		t.Errorf("delete webhook: %v", err)
	}
}
