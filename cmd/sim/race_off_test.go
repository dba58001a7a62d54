//go:build !race

package main

// How many seeds of a mode are played with every change, and how many twice.
const (
	few     = 3
	replays = 50
	raced   = false
)
