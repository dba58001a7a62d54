package main

import (
	"net"
	"testing"
)

// Promise: the documented flags move a demo out of the way of another one. Its inbox,
// which none of them names, gives way by itself; where it was asked for, it does not.
func TestDemoInboxGivesWay(t *testing.T) {
	t.Parallel()
	other, err := listen(t.Context(), "--mail-addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // nothing was written to it
	o := demoOptions{addr: "127.0.0.1:0", internalAddr: "127.0.0.1:0", shopAddr: "127.0.0.1:0", mailAddr: other.Addr().String()}
	ours, err := openDemo(t.Context(), o)
	shut(ours)
	if err != nil || ours[3].Addr().String() == o.mailAddr {
		t.Fatalf("beside another demo: %v", err)
	}
	o.mailGiven = true
	ours, err = openDemo(t.Context(), o)
	shut(ours)
	if err == nil {
		t.Fatal("an address that was asked for was exchanged for another")
	}
}

func shut(listeners [4]net.Listener) {
	for _, l := range listeners {
		if l != nil {
			_ = l.Close() // nothing was written to it
		}
	}
}
