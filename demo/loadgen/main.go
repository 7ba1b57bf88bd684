// loadgen pushes batches of telemetry to instances of wshim, to each at the same fixed rate.
//
// The load is open: a slow or missing answer does not delay the next request, so the work that the instances get
// does not depend on how fast they are. With -requests it is closed, and ends: see exhaust.
package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxWaiting bounds the requests that wait for one instance, in case it hangs.
const maxWaiting = 64

func main() {
	rate := flag.Float64("rate", 30, "requests per second to each instance")
	seed := flag.Uint64("seed", 1, "what the batches are made from")
	requests := flag.Int("requests", 0, "send each instance so many requests, one after the other's answer, and end")
	connections := flag.Int("connections", 4, "with -requests: how many requests wait for an answer at once")
	flag.Usage = func() {
		log.Print("usage: loadgen [-rate N | -requests N [-connections N]] [-seed N] http://host:port/push …")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 || *rate <= 0 {
		flag.Usage()
		log.Fatal("at least one address and a rate above zero are needed")
	}
	batches, err := makeBatches(*seed)
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	interval := time.Duration(float64(time.Second) / *rate)
	var running sync.WaitGroup
	var failed atomic.Int64
	for i, url := range flag.Args() {
		t := target{url: url, batches: batches, first: i * len(batches) / flag.NArg()}
		running.Add(1)
		go func() {
			defer running.Done()
			if *requests > 0 {
				t.exhaust(ctx, *requests, *connections)
			} else {
				t.drive(ctx, interval)
			}
			log.Printf("%s: %d accepted, %d failed", t.url, t.accepted.Load(), t.failed.Load())
			failed.Add(t.failed.Load())
		}()
	}
	running.Wait()
	if *requests > 0 && failed.Load() > 0 {
		log.Fatal("not all requests were accepted")
	}
}

// target is one instance and how it has answered.
type target struct {
	url      string
	batches  []batch
	first    int // where in the cycle it begins: not all instances get the largest batch at once
	accepted atomic.Int64
	failed   atomic.Int64
}

func newClient() *http.Client {
	return &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: maxWaiting, DisableCompression: true},
	}
}

// exhaust sends so many requests over some connections, each the next one when it has its answer.
func (t *target) exhaust(ctx context.Context, requests, connections int) {
	client := newClient()
	var taken atomic.Int64
	var running sync.WaitGroup
	for range connections {
		running.Add(1)
		go func() {
			defer running.Done()
			for i := int(taken.Add(1)) - 1; i < requests && ctx.Err() == nil; i = int(taken.Add(1)) - 1 {
				t.push(ctx, client, t.batches[(t.first+i)%len(t.batches)])
			}
		}()
	}
	running.Wait()
}

// drive starts a request at a random time of each interval until ctx ends.
func (t *target) drive(ctx context.Context, interval time.Duration) {
	client := newClient()
	waiting := make(chan struct{}, maxWaiting)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case waiting <- struct{}{}:
			go func() {
				defer func() { <-waiting }()
				// At fixed times the same instances would always compete for a processor, and use more CPU than others.
				time.Sleep(time.Duration(rand.Int64N(int64(interval))))
				t.push(ctx, client, t.batches[(t.first+i)%len(t.batches)])
			}()
		default:
			t.failed.Add(1)
		}
	}
}

func (t *target) push(ctx context.Context, client *http.Client, b batch) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(b.body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", b.contentType)
	request.Header.Set("Content-Encoding", "gzip")
	response, err := client.Do(request)
	if err != nil {
		t.failed.Add(1) // an instance that restarts: the next request tries again
		return
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	if response.StatusCode == http.StatusNoContent {
		t.accepted.Add(1)
	} else {
		t.failed.Add(1)
	}
}
