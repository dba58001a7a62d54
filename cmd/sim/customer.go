package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// customer is whoever pays one order.
type customer struct {
	t     *town
	o     *order
	turns int
	tabs  []string // pages that were left open
}

func newCustomer(t *town, o *order) *customer { return &customer{t: t, o: o} }

// later plans the customer's next deed.
func (c *customer) later(what string, fn func()) {
	wait := within(c.t.people, 5*time.Second, 5*time.Minute)
	if c.t.plan.patient {
		wait = within(c.t.people, time.Minute, 5*time.Hour)
	}
	c.t.loop.plan(wait, what, fn)
}

// arrive is the customer being sent to a page, ours or a provider's.
func (c *customer) arrive(page string) {
	if c.turns++; c.turns > 8 {
		return
	}
	if c.t.people.IntN(12) == 0 {
		c.t.count("customer_left")
		return
	}
	c.later("customer", func() { c.act(page) })
}

func (c *customer) act(page string) {
	if c.o.due.Before(c.t.now) {
		c.t.count("paid_late")
	}
	switch {
	case strings.HasPrefix(page, stripeURL+"/c/pay/"):
		c.card(page, strings.TrimPrefix(page, stripeURL+"/c/pay/"))
	case strings.HasPrefix(page, paypalURL+"/checkoutnow?token="):
		c.approve(page, strings.TrimPrefix(page, paypalURL+"/checkoutnow?token="))
	case strings.HasPrefix(page, publicURL+"/pay/"):
		c.choose(page)
	case strings.HasPrefix(page, publicURL+"/v1/return/"):
		c.comeBack(page)
	}
}

// sandbox makes a control request to a provider, as a person would click.
func (t *town) sandbox(api, path string, in any) (int, map[string]any) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, nil
	}
	h, base := t.stripe, stripeURL
	if api == "paypal" {
		h, base = t.paypal, paypalURL
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, base+"/_sandbox/"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil
	}
	resp, err := serve(h, req) //nolint:bodyclose // a recorder's body: nothing to close
	if err != nil {
		return 0, nil
	}
	out := map[string]any{}
	if json.NewDecoder(resp.Body).Decode(&out) != nil {
		return resp.StatusCode, nil
	}
	t.trace("person %s %s %s -> %d", api, path, body, resp.StatusCode)
	t.check.moved()
	return resp.StatusCode, out
}

func (c *customer) card(page, session string) {
	session, _, _ = strings.Cut(session, "#")
	r := c.t.people
	in := map[string]string{"card": "4242424242424242"}
	switch r.IntN(10) {
	case 0, 1:
		in["card"] = "4000000000009995" // insufficient funds
	case 2:
		in["card"] = "4000002500003155" // 3-D Secure
		in["three_ds"] = []string{"pass", "fail"}[r.IntN(2)]
	case 3:
		if c.o.in.Capture == "" {
			in["method"] = "async"
		}
	}
	status, out := c.t.sandbox("stripe", "checkout/"+session+"/pay", in)
	if r.IntN(10) == 0 { // a double click
		c.t.count("double_click")
		c.t.sandbox("stripe", "checkout/"+session+"/pay", in)
	}
	c.after(page, status, out)
}

func (c *customer) approve(page, id string) {
	id, _, _ = strings.Cut(id, "&")
	r := c.t.people
	in := map[string]string{}
	switch r.IntN(8) {
	case 0:
		in["capture"] = "declined"
	case 1:
		if c.o.in.Capture == "" {
			in["capture"] = "pending"
		}
	}
	status, out := c.t.sandbox("paypal", "orders/"+id+"/approve", in)
	if r.IntN(10) == 0 {
		c.t.count("double_click")
		c.t.sandbox("paypal", "orders/"+id+"/approve", in)
	}
	c.after(page, status, out)
}

// after is what a customer does with the provider's answer: try again, come back,
// or close the tab.
func (c *customer) after(page string, status int, out map[string]any) {
	r := c.t.people
	if status == http.StatusPaymentRequired {
		c.arrive(page)
		return
	}
	back, _ := out["redirect_url"].(string)
	switch {
	case back == "" || c.t.plan.mode == modeReconcile:
	case r.IntN(4) == 0:
		c.t.count("tab_closed")
	default:
		c.later("return", func() { c.comeBack(back) })
	}
	for _, tab := range c.tabs { // the page that was left open in another tab
		if tab != page && r.IntN(2) == 0 {
			c.t.count("two_tabs")
			c.later("other tab", func() { c.act(tab) })
		}
	}
	c.tabs = nil
}

// comeBack is the browser following the provider's redirect to us.
func (c *customer) comeBack(to string) {
	t := c.t
	u, err := url.Parse(to)
	i := t.some()
	if err != nil || i == nil {
		return
	}
	q := u.Query()
	n, err := strconv.Atoi(q.Get("attempt"))
	if err != nil {
		n = 0
	}
	id := strings.TrimPrefix(u.Path, "/v1/return/")
	next := ""
	if !t.alive(i, func() { next, _, err = i.service.Returned(context.Background(), id, q.Get("t"), q.Get("outcome"), n) }) || err != nil {
		if c.turns++; c.turns < 8 {
			c.later("reload", func() { c.comeBack(to) })
		}
		return
	}
	i.stir()
	t.trace("returned %s to %.40s", id, next)
	t.count("returned")
	if !strings.HasPrefix(next, returnURL) && next != "" {
		c.arrive(next)
	}
	if t.people.IntN(6) == 0 { // the back button, and again
		c.later("return again", func() { c.comeBack(to) })
	}
}

// choose is our own page, where a customer picks a provider, and may come back
// and pick the other one.
func (c *customer) choose(page string) {
	t := c.t
	u, err := url.Parse(page)
	i := t.some()
	if err != nil || i == nil {
		return
	}
	id, token := strings.TrimPrefix(u.Path, "/pay/"), u.Query().Get("t")
	provider := []string{"stripe", "paypal"}[t.people.IntN(2)]
	if c.o.in.Provider != "" {
		provider = c.o.in.Provider
	}
	next := ""
	if !t.alive(i, func() { next, _, err = i.service.Choose(context.Background(), id, token, provider) }) || err != nil {
		t.trace("choose %s %s failed", id, provider)
		c.arrive(page)
		return
	}
	i.stir()
	t.trace("choose %s %s", id, provider)
	if c.o.in.Provider == "" && t.people.IntN(3) == 0 {
		t.count("switched")
		c.tabs = append(c.tabs, next)
		c.arrive(page)
		return
	}
	c.arrive(next)
}
