package paypalapi

import "encoding/json"

// This file holds the JSON bodies, named as in PayPal's OpenAPI documents.

type link struct {
	Href   string `json:"href"`
	Rel    string `json:"rel"`
	Method string `json:"method,omitempty"`
}

type amountJSON struct {
	money
	Breakdown *breakdownJSON `json:"breakdown,omitempty"`
}

type breakdownJSON struct {
	ItemTotal        *money `json:"item_total,omitempty"`
	Shipping         *money `json:"shipping,omitempty"`
	Handling         *money `json:"handling,omitempty"`
	TaxTotal         *money `json:"tax_total,omitempty"`
	Insurance        *money `json:"insurance,omitempty"`
	ShippingDiscount *money `json:"shipping_discount,omitempty"`
	Discount         *money `json:"discount,omitempty"`
}

type itemJSON struct {
	Name        string `json:"name"`
	UnitAmount  *money `json:"unit_amount,omitempty"`
	Tax         *money `json:"tax,omitempty"`
	Quantity    string `json:"quantity"`
	Description string `json:"description,omitempty"`
	SKU         string `json:"sku,omitempty"`
	Category    string `json:"category,omitempty"`
}

type payeeJSON struct {
	EmailAddress string `json:"email_address,omitempty"`
	MerchantID   string `json:"merchant_id,omitempty"`
}

type platformFeeJSON struct {
	Amount money      `json:"amount"`
	Payee  *payeeJSON `json:"payee,omitempty"`
}

type instructionJSON struct {
	PlatformFees     []platformFeeJSON `json:"platform_fees,omitempty"`
	DisbursementMode string            `json:"disbursement_mode,omitempty"`
}

// unitJSON is a purchase unit, in requests (without Payments) and answers.
type unitJSON struct {
	ReferenceID        string           `json:"reference_id,omitempty"`
	Amount             *amountJSON      `json:"amount,omitempty"`
	Payee              *payeeJSON       `json:"payee,omitempty"`
	PaymentInstruction *instructionJSON `json:"payment_instruction,omitempty"`
	Description        string           `json:"description,omitempty"`
	CustomID           string           `json:"custom_id,omitempty"`
	InvoiceID          string           `json:"invoice_id,omitempty"`
	SoftDescriptor     string           `json:"soft_descriptor,omitempty"`
	Items              []itemJSON       `json:"items,omitempty"`
	Shipping           json.RawMessage  `json:"shipping,omitempty"`
	SupplementaryData  json.RawMessage  `json:"supplementary_data,omitempty"`
	Payments           *paymentsJSON    `json:"payments,omitempty"`
}

type paymentsJSON struct {
	Authorizations []authorizationJSON `json:"authorizations,omitempty"`
	Captures       []captureJSON       `json:"captures,omitempty"`
	Refunds        []refundJSON        `json:"refunds,omitempty"`
}

// contextJSON is what application_context and experience_context have in common.
type contextJSON struct {
	BrandName string `json:"brand_name"`
	ReturnURL string `json:"return_url"`
	CancelURL string `json:"cancel_url"`
}

type orderRequest struct {
	Intent             string       `json:"intent"`
	PurchaseUnits      []unitJSON   `json:"purchase_units"`
	ApplicationContext *contextJSON `json:"application_context"`
	PaymentSource      *struct {
		PayPal *struct {
			ExperienceContext *contextJSON `json:"experience_context"`
		} `json:"paypal"`
	} `json:"payment_source"`
}

type nameJSON struct {
	GivenName string `json:"given_name,omitempty"`
	Surname   string `json:"surname,omitempty"`
}

type addressJSON struct {
	CountryCode string `json:"country_code"`
}

type payerJSON struct {
	Name         nameJSON    `json:"name"`
	EmailAddress string      `json:"email_address"`
	PayerID      string      `json:"payer_id"`
	Address      addressJSON `json:"address"`
}

type walletJSON struct {
	EmailAddress  string       `json:"email_address,omitempty"`
	AccountID     string       `json:"account_id,omitempty"`
	AccountStatus string       `json:"account_status,omitempty"`
	Name          *nameJSON    `json:"name,omitempty"`
	Address       *addressJSON `json:"address,omitempty"`
}

type sourceJSON struct {
	PayPal walletJSON `json:"paypal"`
}

type orderJSON struct {
	ID            string      `json:"id"`
	Intent        string      `json:"intent,omitempty"`
	Status        string      `json:"status"`
	PaymentSource *sourceJSON `json:"payment_source,omitempty"`
	PurchaseUnits []unitJSON  `json:"purchase_units,omitempty"`
	Payer         *payerJSON  `json:"payer,omitempty"`
	CreateTime    string      `json:"create_time,omitempty"`
	UpdateTime    string      `json:"update_time,omitempty"`
	Links         []link      `json:"links"`
}

type reasonJSON struct {
	Reason string `json:"reason"`
}

type relatedJSON struct {
	RelatedIDs struct {
		OrderID         string `json:"order_id,omitempty"`
		AuthorizationID string `json:"authorization_id,omitempty"`
		CaptureID       string `json:"capture_id,omitempty"`
	} `json:"related_ids"`
}

type protectionJSON struct {
	Status            string   `json:"status"`
	DisputeCategories []string `json:"dispute_categories,omitempty"`
}

type authorizationJSON struct {
	ID                string          `json:"id"`
	Status            string          `json:"status"`
	Amount            *money          `json:"amount,omitempty"`
	InvoiceID         string          `json:"invoice_id,omitempty"`
	CustomID          string          `json:"custom_id,omitempty"`
	SellerProtection  *protectionJSON `json:"seller_protection,omitempty"`
	ExpirationTime    string          `json:"expiration_time,omitempty"`
	Payee             *payeeJSON      `json:"payee,omitempty"`
	SupplementaryData *relatedJSON    `json:"supplementary_data,omitempty"`
	CreateTime        string          `json:"create_time,omitempty"`
	UpdateTime        string          `json:"update_time,omitempty"`
	Links             []link          `json:"links"`
}

type receivableJSON struct {
	GrossAmount  money             `json:"gross_amount"`
	PaypalFee    money             `json:"paypal_fee"`
	PlatformFees []platformFeeJSON `json:"platform_fees,omitempty"`
	NetAmount    money             `json:"net_amount"`
}

type captureJSON struct {
	ID                        string          `json:"id"`
	Status                    string          `json:"status"`
	StatusDetails             *reasonJSON     `json:"status_details,omitempty"`
	Amount                    *money          `json:"amount,omitempty"`
	FinalCapture              *bool           `json:"final_capture,omitempty"`
	DisbursementMode          string          `json:"disbursement_mode,omitempty"`
	SellerProtection          *protectionJSON `json:"seller_protection,omitempty"`
	SellerReceivableBreakdown *receivableJSON `json:"seller_receivable_breakdown,omitempty"`
	InvoiceID                 string          `json:"invoice_id,omitempty"`
	CustomID                  string          `json:"custom_id,omitempty"`
	Payee                     *payeeJSON      `json:"payee,omitempty"`
	SupplementaryData         *relatedJSON    `json:"supplementary_data,omitempty"`
	CreateTime                string          `json:"create_time,omitempty"`
	UpdateTime                string          `json:"update_time,omitempty"`
	Links                     []link          `json:"links"`
}

type payableJSON struct {
	GrossAmount         money `json:"gross_amount"`
	PaypalFee           money `json:"paypal_fee"`
	NetAmount           money `json:"net_amount"`
	TotalRefundedAmount money `json:"total_refunded_amount"`
}

type refundJSON struct {
	ID                     string       `json:"id"`
	Status                 string       `json:"status"`
	StatusDetails          *reasonJSON  `json:"status_details,omitempty"`
	Amount                 *money       `json:"amount,omitempty"`
	InvoiceID              string       `json:"invoice_id,omitempty"`
	CustomID               string       `json:"custom_id,omitempty"`
	NoteToPayer            string       `json:"note_to_payer,omitempty"`
	SellerPayableBreakdown *payableJSON `json:"seller_payable_breakdown,omitempty"`
	CreateTime             string       `json:"create_time,omitempty"`
	UpdateTime             string       `json:"update_time,omitempty"`
	Links                  []link       `json:"links"`
}
