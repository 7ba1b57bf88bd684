// Command profiled burns CPU in ways that profiles show differently: inlined calls, direct and mutual recursion on one
// line, interface and generic calls, closures, labelled goroutines, the garbage collector. It writes a CPU profile of
// itself to the file named by its argument; tests/testdata/profiles/README.md says when it was run.
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"os"
	"runtime/pprof"
	"sort"
	"strings"
	"sync"
	"time"
)

type shape interface{ area(n int) int }

type square struct{ side int }

type circle struct{ radius int }

func (s square) area(n int) int {
	sum := 0
	for i := range n {
		sum += s.side * i % 7
	}
	return sum
}

func (c circle) area(n int) int {
	sum := 0
	for i := range n {
		sum += c.radius * i % 11
	}
	return sum
}

// fibonacci calls itself twice on one line: two call sites that the compiler sees as one edge.
func fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}

func even(n int) bool { return n == 0 || odd(n-1) }

func odd(n int) bool { return n != 0 && even(n-1) }

// add is small enough to be inlined, and add3 with it.
func add(a, b int) int { return a + b }

func add3(a, b, c int) int { return add(add(a, b), c) }

func largest[T int | string](items []T) T {
	most := items[0]
	for _, item := range items {
		if item > most {
			most = item
		}
	}
	return most
}

func work(label string, until time.Time) int {
	shapes := []shape{square{3}, circle{5}, square{7}}
	total := 0
	for round := 0; time.Now().Before(until); round++ {
		total = add3(total, fibonacci(18), round)
		if even(2000) {
			total++
		}
		for _, s := range shapes {
			total += s.area(20_000)
		}
		words := strings.Fields(strings.Repeat(label+" some words to split ", 200))
		sort.Slice(words, func(i, j int) bool { return words[i] < words[j] })
		total += len(largest(words))
		for i := range 50 {
			sum := sha256.Sum256([]byte(fmt.Sprintf("%s %d", label, i)))
			total += int(sum[0])
		}
	}
	return total
}

func main() {
	file, err := os.Create(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		log.Fatal(err)
	}
	defer pprof.StopCPUProfile()
	until := time.Now().Add(3 * time.Second)
	var group sync.WaitGroup
	for _, label := range []string{"first", "second"} {
		group.Add(1)
		go func() {
			defer group.Done()
			pprof.Do(context.Background(), pprof.Labels("worker", label), func(context.Context) { work(label, until) })
		}()
	}
	group.Wait()
}
