// Package paypalspec is test support: it checks requests to and answers of a
// PayPal-shaped server against PayPal's published OpenAPI documents
// (../shared/specs/paypal beside the repository, Apache-2.0, February 2024).
// Those can't be part of the repository; where they aren't, tests run unchecked, and
// TestDocuments is skipped to say so.
//
// It is used by the tests of the sandbox and of the PayPal adapter, so that both
// are held to the provider's own words instead of to each other. It must not be
// imported by anything that ships, and it must not know what the sandbox does.
package paypalspec
