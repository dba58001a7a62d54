//go:build race

package main

// How many seeds of a mode are played with every change, and how many twice. The
// race detector makes them five times as slow and has little to find in one
// goroutine; "make sim" plays many more.
const (
	few     = 1
	replays = 4
	raced   = true
)
