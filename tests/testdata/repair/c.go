//go:build cgo

package main

/*
static unsigned burn(unsigned n) {
	unsigned x = 1;
	for (unsigned i = 0; i < n; i++) x = x * 1664525u + 1013904223u;
	return x;
}
*/
import "C"

func init() { native = func() int { return int(C.burn(200000)) } }
