package main

import (
	"testing"
)

func BenchmarkAll(b *testing.B) {
	r, err := newRunner(wiring{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range b.N {
		if _, err := r.run(uint64(i+1), modeAll, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}
