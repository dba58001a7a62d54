package stripeapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// eventsKept is how long events can be read (Stripe docs: list all events).
const eventsKept = 30 * 24 * time.Hour

// sign makes Stripe-Signature: HMAC-SHA256 over "t.body" with the endpoint's secret
// as raw bytes, a new t for each attempt (Stripe docs: verify signatures).
func sign(ep sandbox.Endpoint, ev sandbox.Event, _ int, wall time.Time) (http.Header, error) {
	t := strconv.FormatInt(wall.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(ep.Secret))
	mac.Write([]byte(t + "."))
	mac.Write(ev.Body)
	return http.Header{
		"Stripe-Signature": {"t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))},
		"Content-Type":     {"application/json; charset=utf-8"},
		"User-Agent":       {"Stripe/1.0 (+https://stripe.com/docs/webhooks)"},
	}, nil
}

// emit announces an event about an object as it is now.
func (a *API) emit(o owner, typ string, object obj) { a.emitChange(o, typ, object, nil) }

// emitChange is emit with the old values of what an update changed.
func (a *API) emitChange(o owner, typ string, object, previous obj) {
	id := a.w.NewID("evt_", 24)
	data := obj{"object": object}
	if previous != nil {
		data["previous_attributes"] = previous
	}
	request := obj{"id": nil, "idempotency_key": nil}
	if c := a.current; c != nil {
		request["id"] = c.id
		request["idempotency_key"] = orNull(c.key)
	}
	now := a.w.Now()
	account := ""
	if o.acct != o.platform {
		account = o.acct
	}
	ev := sandbox.Event{ID: id, Type: typ, API: apiName, Account: account, Owner: o.platform, At: now}
	ev.Object, _ = object["id"].(string)
	wire := obj{
		"id": id, "object": "event", "api_version": apiVersion, "created": unix(now), "data": data,
		"livemode": false, "pending_webhooks": a.receivers(account), "request": request, "type": typ,
	}
	if account != "" {
		wire["account"] = account
	}
	body, err := json.MarshalIndent(wire, "", "  ")
	if err != nil {
		// Only an unencodable value could do that, which would be our bug.
		panic("stripeapi: event not encodable: " + err.Error())
	}
	ev.Body = body
	a.w.Emit(ev)
}

// receivers counts the endpoints an event may go to.
func (a *API) receivers(account string) int {
	n := 0
	for _, ep := range a.w.Endpoints(apiName) {
		if ep.Connect == (account != "") {
			n++
		}
	}
	return n
}

// mine says whether the call may see an event.
func (c *call) mine(ev sandbox.Event) bool {
	acct := ev.Account
	if acct == "" {
		acct = ev.Owner
	}
	return acct == c.acct && ev.At.After(c.api.w.Now().Add(-eventsKept))
}

func (c *call) getEvent() (obj, *apiError) {
	id := c.r.PathValue("id")
	for _, ev := range c.api.w.Events(apiName) {
		if ev.ID == id && c.mine(ev) {
			return c.renderEvent(ev)
		}
	}
	return nil, notFound("event", id)
}

func (c *call) renderEvent(ev sandbox.Event) (obj, *apiError) {
	var o obj
	dec := json.NewDecoder(strings.NewReader(string(ev.Body)))
	dec.UseNumber() // amounts stay exact
	if err := dec.Decode(&o); err != nil {
		return nil, &apiError{status: 500, typ: typeAPI, msg: "event unreadable: " + err.Error()}
	}
	o["pending_webhooks"] = c.api.w.PendingDeliveries(apiName, ev.ID)
	return o, nil
}

// listEvents lists what was announced in the last 30 days, dropped or not.
func (c *call) listEvents() (obj, *apiError) {
	p, fail := c.form.paging()
	if fail != nil {
		return nil, fail
	}
	types := c.form.list("types")
	if t := c.form.get("type"); t != "" {
		types = append(types, t)
	}
	if len(types) > 20 {
		return nil, invalid("types", "You may specify at most 20 event types.")
	}
	all := c.api.w.Events(apiName)
	slices.Reverse(all)
	var data []any
	more, started := false, p.after == ""
	for _, ev := range all {
		if !c.mine(ev) {
			continue
		}
		if ev.ID == p.before {
			break
		}
		if started && p.within(ev.At) && wantsType(types, ev.Type) && c.wantsDelivery(ev) {
			if more = p.before == "" && int64(len(data)) == p.limit; more {
				break
			}
			o, fail := c.renderEvent(ev)
			if fail != nil {
				return nil, fail
			}
			data = append(data, o)
		}
		started = started || ev.ID == p.after
	}
	if n := len(data) - int(p.limit); n > 0 {
		data, more = data[n:], true
	}
	if !started {
		return nil, invalid("starting_after", "No such event: '"+p.after+"'")
	}
	return list("/v1/events", data, more), nil
}

// wantsType applies the type filter; "charge.*" takes a family.
func wantsType(types []string, typ string) bool {
	if len(types) == 0 {
		return true
	}
	return slices.ContainsFunc(types, func(t string) bool {
		family, all := strings.CutSuffix(t, "*")
		return t == typ || all && strings.HasPrefix(typ, family)
	})
}

// wantsDelivery applies delivery_success: false shows what is not delivered yet.
func (c *call) wantsDelivery(ev sandbox.Event) bool {
	switch c.form.get("delivery_success") {
	case "true":
		return c.api.w.PendingDeliveries(apiName, ev.ID) == 0
	case "false":
		return c.api.w.PendingDeliveries(apiName, ev.ID) > 0
	default:
		return true
	}
}
