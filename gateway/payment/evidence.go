package payment

// Kinds of text that evidence may hold, in the provider-neutral vocabulary. An
// adapter maps them to its provider's own.
const (
	TextProduct        = "product_description"
	TextCustomerName   = "customer_name"
	TextCustomerEmail  = "customer_email"
	TextCustomerIP     = "customer_ip"
	TextBillingAddress = "billing_address"
	TextCommunication  = "customer_communication"
	TextAccessLog      = "access_activity_log"
	TextServiceDate    = "service_date"
	TextRefundPolicy   = "refund_policy"
	TextRefundRefusal  = "refund_refusal_explanation"
	TextCancelPolicy   = "cancellation_policy"
	TextCancelRebuttal = "cancellation_rebuttal"
	TextDuplicateID    = "duplicate_charge_id"
	TextDuplicate      = "duplicate_charge_explanation"
	TextRefundID       = "refund_id"
	TextCarrier        = "shipping.carrier"
	TextTracking       = "shipping.tracking_number"
	TextShippingDate   = "shipping.date"
	TextShippingTo     = "shipping.address"
	TextOther          = "uncategorized_text"
)

// EvidenceTexts lists every kind of text.
func EvidenceTexts() []string {
	return []string{
		TextProduct, TextCustomerName, TextCustomerEmail, TextCustomerIP, TextBillingAddress, TextCommunication, TextAccessLog,
		TextServiceDate, TextRefundPolicy, TextRefundRefusal, TextCancelPolicy, TextCancelRebuttal, TextDuplicateID, TextDuplicate,
		TextRefundID, TextCarrier, TextTracking, TextShippingDate, TextShippingTo, TextOther,
	}
}

// Kinds of document that evidence may hold.
const (
	FileReceipt       = "receipt"
	FileCommunication = "customer_communication"
	FileSignature     = "customer_signature"
	FileRefundPolicy  = "refund_policy"
	FileCancelPolicy  = "cancellation_policy"
	FileService       = "service_documentation"
	FileShipping      = "shipping_documentation"
	FileDuplicate     = "duplicate_charge_documentation"
	FileOther         = "uncategorized_file"
)

// EvidenceFiles lists every kind of document.
func EvidenceFiles() []string {
	return []string{
		FileReceipt, FileCommunication, FileSignature, FileRefundPolicy, FileCancelPolicy, FileService, FileShipping, FileDuplicate, FileOther,
	}
}
