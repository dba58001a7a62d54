package paypal

import (
	"strings"
	"time"
)

// This file holds the JSON bodies as PayPal's OpenAPI documents of Orders v2,
// Payments v2, disputes v1 and reporting v1 describe them, as far as we send or read
// them. Every member of an answer may be missing.

type link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

func linkOf(links []link, rels ...string) string {
	for _, rel := range rels {
		for _, l := range links {
			if l.Rel == rel && l.Href != "" {
				return l.Href
			}
		}
	}
	return ""
}

// linkedID is the id at the end of an "up" link to a collection such as "captures",
// empty if the link leads elsewhere.
func linkedID(links []link, collection string) string {
	for _, l := range links {
		if l.Rel != "up" {
			continue
		}
		_, id, found := strings.Cut(l.Href, "/"+collection+"/")
		if found && idPattern.MatchString(id) {
			return id
		}
	}
	return ""
}

type amountBody struct {
	money
	Breakdown *breakdown `json:"breakdown,omitempty"`
}

type breakdown struct {
	ItemTotal        *money `json:"item_total,omitempty"`
	Shipping         *money `json:"shipping,omitempty"`
	Handling         *money `json:"handling,omitempty"`
	TaxTotal         *money `json:"tax_total,omitempty"`
	Insurance        *money `json:"insurance,omitempty"`
	ShippingDiscount *money `json:"shipping_discount,omitempty"`
	Discount         *money `json:"discount,omitempty"`
}

type item struct {
	Name       string `json:"name"`
	Quantity   string `json:"quantity"`
	UnitAmount money  `json:"unit_amount"`
	SKU        string `json:"sku,omitempty"`
}

type unitRequest struct {
	ReferenceID    string     `json:"reference_id"`
	CustomID       string     `json:"custom_id"`
	InvoiceID      string     `json:"invoice_id"`
	Description    string     `json:"description,omitempty"`
	SoftDescriptor string     `json:"soft_descriptor,omitempty"`
	Amount         amountBody `json:"amount"`
	Items          []item     `json:"items,omitempty"`
}

type experience struct {
	PaymentMethodPreference string `json:"payment_method_preference"`
	BrandName               string `json:"brand_name,omitempty"`
	Locale                  string `json:"locale,omitempty"`
	LandingPage             string `json:"landing_page"`
	ShippingPreference      string `json:"shipping_preference"`
	UserAction              string `json:"user_action"`
	ReturnURL               string `json:"return_url"`
	CancelURL               string `json:"cancel_url"`
}

type walletRequest struct {
	EmailAddress      string     `json:"email_address,omitempty"`
	ExperienceContext experience `json:"experience_context"`
}

type orderRequest struct {
	Intent        string        `json:"intent"`
	PurchaseUnits []unitRequest `json:"purchase_units"`
	PaymentSource struct {
		PayPal walletRequest `json:"paypal"`
	} `json:"payment_source"`
}

type captureRequest struct {
	Amount       money  `json:"amount"`
	InvoiceID    string `json:"invoice_id"`
	FinalCapture bool   `json:"final_capture"`
}

type refundRequest struct {
	Amount    money  `json:"amount"`
	CustomID  string `json:"custom_id"`
	InvoiceID string `json:"invoice_id"`
}

// nothing is the body of calls that take an object and need none of its members.
type nothing struct{}

type orderBody struct {
	ID            string `json:"id"`
	Intent        string `json:"intent"`
	Status        string `json:"status"`
	CreateTime    string `json:"create_time"`
	UpdateTime    string `json:"update_time"`
	Links         []link `json:"links"`
	PurchaseUnits []unit `json:"purchase_units"`
	Payer         struct {
		PayerID      string `json:"payer_id"`
		EmailAddress string `json:"email_address"`
	} `json:"payer"`
	PaymentSource struct {
		PayPal struct {
			AccountID    string `json:"account_id"`
			EmailAddress string `json:"email_address"`
		} `json:"paypal"`
	} `json:"payment_source"`
}

type unit struct {
	ReferenceID string      `json:"reference_id"`
	CustomID    string      `json:"custom_id"`
	InvoiceID   string      `json:"invoice_id"`
	Amount      *amountBody `json:"amount"`
	Payments    payments    `json:"payments"`
}

type payments struct {
	Authorizations []authorizationBody `json:"authorizations"`
	Captures       []captureBody       `json:"captures"`
	Refunds        []refundBody        `json:"refunds"`
}

// payments are those of all units.
func (o *orderBody) payments() payments {
	var all payments
	for _, u := range o.PurchaseUnits {
		all.Authorizations = append(all.Authorizations, u.Payments.Authorizations...)
		all.Captures = append(all.Captures, u.Payments.Captures...)
		all.Refunds = append(all.Refunds, u.Payments.Refunds...)
	}
	return all
}

type related struct {
	IDs struct {
		OrderID         string `json:"order_id"`
		AuthorizationID string `json:"authorization_id"`
		CaptureID       string `json:"capture_id"`
	} `json:"related_ids"`
}

type reason struct {
	Reason string `json:"reason"`
}

type authorizationBody struct {
	ID             string  `json:"id"`
	Status         string  `json:"status"`
	Amount         *money  `json:"amount"`
	CustomID       string  `json:"custom_id"`
	InvoiceID      string  `json:"invoice_id"`
	ExpirationTime string  `json:"expiration_time"`
	CreateTime     string  `json:"create_time"`
	UpdateTime     string  `json:"update_time"`
	Related        related `json:"supplementary_data"`
	Links          []link  `json:"links"`
}

// parent is the authorization that this one renews, empty for an original one.
func (a *authorizationBody) parent() string {
	for _, id := range []string{linkedID(a.Links, "authorizations"), a.Related.IDs.AuthorizationID} {
		if id != "" && id != a.ID {
			return id
		}
	}
	return ""
}

type captureBody struct {
	ID            string      `json:"id"`
	Status        string      `json:"status"`
	StatusDetails reason      `json:"status_details"`
	Amount        *money      `json:"amount"`
	CustomID      string      `json:"custom_id"`
	InvoiceID     string      `json:"invoice_id"`
	Final         bool        `json:"final_capture"`
	CreateTime    string      `json:"create_time"`
	UpdateTime    string      `json:"update_time"`
	Related       related     `json:"supplementary_data"`
	Links         []link      `json:"links"`
	Receivable    *receivable `json:"seller_receivable_breakdown"`
}

// authorization is the authorization this capture was taken from, empty if none.
func (c *captureBody) authorization() string {
	if id := c.Related.IDs.AuthorizationID; id != "" {
		return id
	}
	return linkedID(c.Links, "authorizations")
}

type receivable struct {
	PaypalFee             *money        `json:"paypal_fee"`
	FeeInReceivable       *money        `json:"paypal_fee_in_receivable_currency"`
	NetAmount             *money        `json:"net_amount"`
	ReceivableAmount      *money        `json:"receivable_amount"`
	NetAmountInReceivable *money        `json:"net_amount_in_receivable_currency"` // of refunds
	NetBreakdown          []payablePart `json:"net_amount_breakdown"`              // of refunds
}

// payablePart is what one balance of the merchant paid of a refund, in its own currency.
type payablePart struct {
	Payable *money `json:"payable_amount"`
}

type refundBody struct {
	ID            string      `json:"id"`
	Status        string      `json:"status"`
	StatusDetails reason      `json:"status_details"`
	Amount        *money      `json:"amount"`
	CustomID      string      `json:"custom_id"`
	InvoiceID     string      `json:"invoice_id"`
	CreateTime    string      `json:"create_time"`
	UpdateTime    string      `json:"update_time"`
	Related       related     `json:"supplementary_data"`
	Links         []link      `json:"links"`
	Payable       *receivable `json:"seller_payable_breakdown"`
}

// capture is the capture this refund gives back.
func (r *refundBody) capture() string {
	if id := linkedID(r.Links, "captures"); id != "" {
		return id
	}
	return r.Related.IDs.CaptureID
}

type disputeList struct {
	Items []disputeBody `json:"items"`
	Links []link        `json:"links"`
}

type disputeBody struct {
	about        string // the capture by which the case was found, where it was
	ID           string `json:"dispute_id"`
	CreateTime   string `json:"create_time"`
	UpdateTime   string `json:"update_time"`
	Reason       string `json:"reason"`
	Status       string `json:"status"`
	Stage        string `json:"dispute_life_cycle_stage"`
	Amount       *money `json:"dispute_amount"`
	SellerDue    string `json:"seller_response_due_date"`
	Transactions []struct {
		SellerTransactionID string `json:"seller_transaction_id"`
		InvoiceNumber       string `json:"invoice_number"`
		Custom              string `json:"custom"`
	} `json:"disputed_transactions"`
	Outcome struct {
		Code           string `json:"outcome_code"`
		AmountRefunded *money `json:"amount_refunded"`
	} `json:"dispute_outcome"`
	Movements []movement `json:"money_movements"`
	Channel   string     `json:"dispute_channel"`
	Evidences []struct {
		Source string `json:"source"`
	} `json:"evidences"`
	Supporting []struct {
		Source string `json:"source"`
	} `json:"supporting_info"`
	External string `json:"external_reason_code"`
	Links    []link `json:"links"`
	Options  struct {
		Accept struct {
			Types []string `json:"accept_claim_types"`
		} `json:"accept_claim"`
	} `json:"allowed_response_options"`
}

type movement struct {
	Party     string `json:"affected_party"`
	Amount    *money `json:"amount"`
	Initiated string `json:"initiated_time"`
	Type      string `json:"type"`
	Reason    string `json:"reason"`
}

type transactionList struct {
	Refreshed  string `json:"last_refreshed_datetime"`
	TotalPages int    `json:"total_pages"`
	Details    []struct {
		Info transaction `json:"transaction_info"`
	} `json:"transaction_details"`
}

type transaction struct {
	ID            string `json:"transaction_id"`
	ReferenceID   string `json:"paypal_reference_id"`
	ReferenceType string `json:"paypal_reference_id_type"`
	EventCode     string `json:"transaction_event_code"`
	Initiated     string `json:"transaction_initiation_date"`
	Updated       string `json:"transaction_updated_date"`
	Amount        *money `json:"transaction_amount"`
	Status        string `json:"transaction_status"`
	InvoiceID     string `json:"invoice_id"`
	CustomField   string `json:"custom_field"`
}

// parseTime reads the forms of time that PayPal writes, zero if it is none: RFC 3339,
// and in transaction search a zone without colon.
func parseTime(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999-0700"} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 0 && t.Year() < 9000 {
			return t.UTC()
		}
	}
	return time.Time{}
}

// firstTime is the first of the texts that is a time.
func firstTime(texts ...string) time.Time {
	for _, text := range texts {
		if t := parseTime(text); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
