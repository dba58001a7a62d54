package browser

import (
	"net/http"
	"strings"
	"testing"
)

const (
	payButton     = `button[name=method][value=card]`
	chooseStripe  = `form:has(input[name=provider][value=stripe]) button`
	choosePayPal  = `form:has(input[name=provider][value=paypal]) button`
	approveButton = `button[name=action][value=approve]`
)

// buy puts the mug in the basket and goes to our pay page.
func (p *person) buy(d *demo) {
	p.t.Helper()
	p.visit(d.shop)
	p.click(`button[aria-label="Buy Enamel mug"]`)
	if !strings.HasPrefix(p.url(), d.api+"/pay/") {
		p.t.Fatalf("the shop must send the customer to the pay page, not %s", p.url())
	}
}

// payCard fills in a card on the hosted page.
func (p *person) payCard(number string) {
	p.t.Helper()
	p.fill("#card", number)
	p.click(payButton)
}

// A person buys with a card, on a desk, on a phone, in the dark and without
// JavaScript, and the shop shows the truth.
func TestBuyWithCard(t *testing.T) {
	for name, s := range map[string]screen{
		"desk": desk, "phone": {width: 360, height: 740, script: true},
		"no-script": {width: 360, height: 740}, "dark": {width: 1000, height: 800, script: true, dark: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDemo(t)
			p := open(t, s)
			p.visit(d.shop)
			p.picture("shop")
			p.readable()
			p.buy(d)
			p.sees("19.99")
			p.picture("choose")
			p.readable()
			p.click(chooseStripe)
			p.picture("card")
			p.readable()
			p.payCard("4242 4242 4242 4242")
			p.sees("Paid. Thank you!")
			p.picture("paid")
			p.readable()
			d.wantCaptures(t, 1999)
		})
	}
}

// A declined card leaves the page open; a good one then pays, once.
func TestDeclinedThenGood(t *testing.T) {
	d := startDemo(t)
	p := open(t, desk)
	p.buy(d)
	p.click(chooseStripe)
	p.payCard("4000000000000002")
	p.sees("declined")
	p.picture("declined")
	p.payCard("4242424242424242")
	p.sees("Paid. Thank you!")
	d.wantCaptures(t, 1999)
}

// 3-D Secure: failed leaves the page open, passed pays.
func TestThreeDSecure(t *testing.T) {
	d := startDemo(t)
	p := open(t, desk)
	p.buy(d)
	p.click(chooseStripe)
	p.payCard("4000002760003184")
	p.picture("challenge")
	p.click(`button[name=outcome][value=fail]`)
	p.payCard("4000002760003184")
	p.click(`button[name=outcome][value=pass]`)
	p.sees("Paid. Thank you!")
	d.wantCaptures(t, 1999)
}

// Going back pays nothing; canceling the order in the shop closes it; letting
// it expire does too.
func TestCancelAndExpire(t *testing.T) {
	d := startDemo(t)
	p := open(t, desk)
	p.buy(d)
	p.click(chooseStripe)
	p.click(`form[action$="/back"] button`)
	p.sees("Not paid yet")
	p.picture("back")
	p.click(`form[action$="/cancel"] button`)
	p.sees("Canceled")
	p.picture("canceled")
	p.buy(d)
	p.click(chooseStripe)
	checkout := p.url()
	d.control(t, http.MethodPost, d.stripe+"/_sandbox/clock/advance", map[string]any{"seconds": 86400 + 60})
	p.visit(d.shop + "/orders")
	p.sees("expired")
	p.picture("expired")
	p.visit(checkout)
	p.picture("expired-checkout")
	d.wantCaptures(t)
}

// PayPal chosen and approved.
func TestBuyWithPayPal(t *testing.T) {
	for name, s := range map[string]screen{"desk": desk, "no-script": {width: 360, height: 740}} {
		t.Run(name, func(t *testing.T) {
			d := startDemo(t)
			p := open(t, s)
			p.buy(d)
			p.click(choosePayPal)
			p.picture("approve")
			p.readable()
			p.click(approveButton)
			p.sees("Paid. Thank you!")
			p.picture("paid")
			d.wantCaptures(t, 1999)
		})
	}
}

// A declined instrument at PayPal sends the customer back to the same order;
// the second choice pays it.
func TestPayPalDeclinedInstrument(t *testing.T) {
	d := startDemo(t)
	p := open(t, desk)
	p.buy(d)
	p.click(choosePayPal)
	p.run(clickRadio("declined"))
	p.click(approveButton)
	p.sees("declined")
	p.picture("declined")
	p.click(approveButton) // the working choice is the default
	p.sees("Paid. Thank you!")
	d.wantCaptures(t, 1999)
}

// Canceling at PayPal pays nothing and leads back to the shop.
func TestCancelAtPayPal(t *testing.T) {
	d := startDemo(t)
	p := open(t, desk)
	p.buy(d)
	p.click(choosePayPal)
	p.click(`button[name=action][value=cancel]`)
	p.sees("Not paid yet")
	d.wantCaptures(t)
}

// Stripe chosen, back, PayPal chosen: paid once, and the Stripe page is dead.
func TestSwitchProvider(t *testing.T) {
	d := startDemo(t)
	p := open(t, desk)
	p.buy(d)
	page := p.url()
	p.click(chooseStripe)
	checkout := p.url()
	p.visit(page)
	p.picture("choose-again")
	p.click(choosePayPal)
	p.click(approveButton)
	p.sees("Paid. Thank you!")
	d.wantCaptures(t, 1999)
	p.visit(checkout)
	p.picture("dead-checkout")
	p.visit(page)
	p.picture("pay-page-paid")
	d.wantCaptures(t, 1999)
}

// Both providers open in two tabs: one is captured, the other can't be paid.
func TestTwoTabs(t *testing.T) {
	d := startDemo(t)
	one, two := open(t, desk), open(t, desk)
	one.buy(d)
	page := one.url()
	one.click(choosePayPal)
	two.visit(page)
	two.click(chooseStripe)
	one.click(approveButton)
	one.picture("abandoned-order-leads-back")
	d.wantCaptures(t)
	two.payCard("4242424242424242")
	two.sees("Paid. Thank you!")
	d.wantCaptures(t, 1999)
}

// A double capture forced at the provider is seen and held, and the shop says so.
func TestDoubleCaptureIsHeld(t *testing.T) {
	d := startDemo(t)
	p := open(t, desk)
	d.control(t, http.MethodPut, d.stripe+"/_sandbox/faults", map[string]any{"capture": map[string]any{"duplicate": true}})
	p.buy(d)
	p.click(chooseStripe)
	p.payCard("4242424242424242")
	p.sees("On hold")
	p.picture("held")
	d.wantCaptures(t, 1999, 1999)
}

// Authorise now, charge when it ships, refund in the shop.
func TestShipAndRefund(t *testing.T) {
	d := startDemo(t)
	p := open(t, desk)
	p.visit(d.shop)
	p.click(`button[aria-label="Buy Oak table"]`)
	p.click(chooseStripe)
	p.payCard("4242424242424242")
	p.sees("Reserved")
	p.click(`form[action$="/capture"] button`)
	p.sees("Paid. Thank you!")
	p.click(`form[action$="/refund-third"] button`)
	p.click(`form[action$="/refund"] button`)
	p.sees("Refunded")
	p.picture("refunded")
	d.wantCaptures(t, 64900)
}
