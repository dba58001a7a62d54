//go:build !race

package gateway_test

const thin = 1
