package paypalapi

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"
)

// funding choices of the approval page, in order.
var fundings = []struct{ Value, Label, Hint string }{
	{fundBalance, "PayPal balance", "Works: the payment completes."},
	{fundDeclined, "Card that is declined", "Declined when the shop collects the money (INSTRUMENT_DECLINED). You will be sent back here."},
	{fundEcheck, "eCheck from a bank account", "Stays pending until it is settled through the sandbox."},
}

// approve is the buyer agreeing to pay: no money moves. It answers where the buyer's
// browser goes next, "" if the shop named no return_url.
func (s *server) approve(o *order, funding string) string {
	if o.payer == nil {
		o.payer = s.buyer("", "")
	}
	o.status, o.funding, o.declined, o.updated = orderApproved, funding, false, s.w.Now()
	s.announceOrder("CHECKOUT.ORDER.APPROVED", "An order has been approved by buyer", o)
	return withQuery(o.context.ReturnURL, "token", o.id, "PayerID", o.payer.PayerID)
}

// payerID is the form of a PayPal account's id (PayPal OpenAPI orders v2: account_id).
var payerID = regexp.MustCompile(`^[2-9A-HJ-NP-Z]{13}$`)

// buyer is the person of that account id and address, or somebody new.
func (s *server) buyer(id, email string) *payerJSON {
	if id == "" {
		id = s.newID(13)
	}
	return &payerJSON{
		Name: nameJSON{GivenName: "Sandbox", Surname: "Buyer"}, EmailAddress: cmp.Or(email, "buyer@personal.example.com"),
		PayerID: id, Address: addressJSON{CountryCode: "US"},
	}
}

// cancelURL is where the buyer goes who does not want to pay. The order itself does
// not change: it can still be approved until it lapses.
func cancelURL(o *order) string { return withQuery(o.context.CancelURL, "token", o.id) }

// withQuery adds parameters and keeps what the address already has, byte for byte.
func withQuery(raw string, pairs ...string) string {
	if raw == "" {
		return ""
	}
	base, fragment, hasFragment := strings.Cut(raw, "#")
	var b strings.Builder
	b.WriteString(base)
	sep := "?"
	if strings.Contains(base, "?") {
		sep = "&"
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		b.WriteString(sep + pairs[i] + "=" + url.QueryEscape(pairs[i+1]))
		sep = "&"
	}
	if hasFragment {
		b.WriteString("#" + fragment)
	}
	return b.String()
}
