//go:build race

package gateway_test

// thin makes the crash test fail every n-th write only: the race detector makes it ten times as slow, and looks for
// something else. The plain run leaves none out.
const thin = 6
