package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
)

// batch is one request's body, made in advance so that sending costs little.
type batch struct {
	contentType string
	body        []byte // gzipped
}

// A cycle of batches is short enough to repeat within a few seconds: every window of a measurement then holds the
// same work.
const (
	cycle      = 15
	jsonEvery  = 15 // one batch in so many comes from a worker that still sends JSON lines
	jsonLines  = 200
	minLines   = 800
	maxLines   = 4_000
	tailWeight = 1.2 // exponent of the Pareto distribution of lines: smaller is heavier
)

var (
	scripts  = []string{"cart", "search", "images"}
	routes   = []string{"/v1/%s/%d", "/v1/%s/%d/items", "/v2/%s/list", "/healthz"}
	statuses = []int{200, 200, 200, 200, 204, 301, 404, 429, 500}
	methods  = []string{"GET", "GET", "GET", "POST"}
	phases   = []string{"cpu", "wall"}
	accounts = []string{"acme-trading", "initech", "globex-media"}
	colos    = []string{"ams01", "lhr01"}
)

// makeBatches returns one cycle; the same seed gives the same bytes.
func makeBatches(seed uint64) ([]batch, error) {
	random := rand.New(rand.NewPCG(seed, 0))
	batches := make([]batch, cycle)
	for i := range batches {
		made := batch{contentType: "text/plain"}
		write, lines := textLine, paretoLines(random)
		if i%jsonEvery == jsonEvery-1 {
			made.contentType = "application/x-ndjson"
			write, lines = jsonLine, jsonLines
		}
		var packed bytes.Buffer
		compressor := gzip.NewWriter(&packed)
		for range lines {
			write(compressor, random)
		}
		if err := compressor.Close(); err != nil {
			return nil, err
		}
		made.body = packed.Bytes()
		batches[i] = made
	}
	return batches, nil
}

func paretoLines(random *rand.Rand) int {
	return int(min(maxLines, minLines*math.Pow(1-random.Float64(), -1/tailWeight)))
}

func textLine(w io.Writer, random *rand.Rand) {
	worker := fmt.Sprintf("w-%08x", random.Uint32N(4096))
	script, colo, account := pick(random, scripts), pick(random, colos), pick(random, accounts)
	switch random.IntN(10) {
	case 0:
		fmt.Fprintf(w, "gauge worker_isolates{worker_id=%q,colo=%q,script=%q,runtime=\"v8\"} %d\n",
			worker, colo, script, 1+random.IntN(40))
	case 1, 2, 3, 4:
		fmt.Fprintf(w, "histogram worker_duration_seconds{script=%q,colo=%q,phase=%q,worker_id=%q,account=%q} %.6f\n",
			script, colo, pick(random, phases), worker, account, 0.004*random.ExpFloat64())
	default:
		fmt.Fprintf(w, "counter worker_requests_total{worker_id=%q,status=\"%d\",script=%q,route=%q,", worker,
			pick(random, statuses), script, route(random, script))
		fmt.Fprintf(w, "colo=%q,method=%q,account=%q} %d\n", colo, pick(random, methods), account, 1+random.IntN(90))
	}
}

func jsonLine(w io.Writer, random *rand.Rand) {
	fmt.Fprintf(w, `{"kind":"counter","name":"worker_errors_total","labels":{"worker_id":"w-%08x",`, random.Uint32N(4096))
	fmt.Fprintf(w, `"script":%q,"colo":%q},"value":%d}`+"\n", pick(random, scripts), pick(random, colos), 1+random.IntN(5))
}

func route(random *rand.Rand, script string) string {
	switch pattern := pick(random, routes); pattern {
	case "/v2/%s/list":
		return fmt.Sprintf(pattern, script)
	case "/healthz":
		return pattern
	default:
		return fmt.Sprintf(pattern, script, random.IntN(10_000))
	}
}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }
