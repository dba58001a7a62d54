// Package stripespec is test support: it checks requests to, answers of and events
// from a Stripe-shaped server against Stripe's published OpenAPI document of API
// version 2023-10-16. The judge is tools/stripemock (stripe-mock v0.183.0), a program
// of its own that this package builds, starts and asks over loopback.
//
// It is used by the tests of the sandbox and of the Stripe adapter, so that both are
// held to the provider's own words instead of to each other. It must not be imported
// by anything that ships, it must not know what the sandbox does, and it imports
// neither Stripe's SDK nor stripe-mock.
package stripespec
