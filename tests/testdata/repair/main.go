// A program with generic and inlined functions that profiles itself: see README.md.
package main

import (
	"os"
	"runtime/pprof"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type number interface{ ~int | ~float64 }

func sum[T number](xs []T) (s T) {
	for _, x := range xs {
		s += double(x)
	}
	return s
}

func double[T number](x T) T { return x + x }

type list[T any] struct{ items []T }

func (l *list[T]) each(f func(T)) {
	for _, x := range l.items {
		f(x)
	}
}

// Of two shapes, so that its name alone does not say which.
//
//go:noinline
func mapped[T, R any](xs []T, f func(T) R) []R {
	out := make([]R, 0, len(xs))
	for _, x := range xs {
		out = append(out, f(x))
	}
	return out
}

var native = func() int { return 0 }

// A call within this file that holds much of the weight, whatever was sampled. It has a frame: perf finds its caller.
//
//go:noinline
func mixed(xs []int) (t int) {
	var last [16]int
	for i := 0; i < 100; i++ {
		for _, x := range xs {
			t = t*31 ^ last[x&15]
			last[t&15] = x
		}
	}
	return t
}

func work(n int) int {
	xs := make([]int, n)
	for i := range xs {
		xs[i] = (i * 7919) % n
	}
	slices.SortFunc(xs, func(a, b int) int { return a - b })
	fs := mapped(xs, func(x int) float64 { return float64(x) / 3 })
	ss := mapped(fs, func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) })
	sort.Strings(ss)
	t := sum(xs)
	t += int(sum(fs))
	l := &list[string]{ss}
	l.each(func(s string) { t += len(strings.ToUpper(s)) })
	return t + mixed(xs) + native()
}

// The CPU time of this process: how many samples a profile has does not depend on what else runs.
func used() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func main() {
	if os.Args[1] != "-" {
		file, err := os.Create(os.Args[1])
		if err != nil {
			panic(err)
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			panic(err)
		}
		defer pprof.StopCPUProfile()
	}
	for end := used() + time.Second; used() < end; {
		work(2000)
	}
}
