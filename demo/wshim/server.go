package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"

	"example.com/wshim/internal/aggregate"
	"example.com/wshim/internal/process"
	"example.com/wshim/internal/relabel"
	"example.com/wshim/internal/telemetry"
	"example.com/wshim/internal/wire"
)

const (
	maxSeries     = 20_000
	maxCompressed = 4 << 20  // bytes of a request
	maxBatch      = 64 << 20 // bytes that are read of a decompressed batch
)

// server is the gateway's HTTP side.
type server struct {
	registry *aggregate.Registry
	pipeline telemetry.Sink
	accepted atomic.Uint64 // requests
	refused  atomic.Uint64 // requests
	samples  atomic.Uint64
}

func newServer() *server {
	registry := aggregate.NewRegistry(maxSeries)
	return &server{
		registry: registry,
		pipeline: relabel.DropLabels(
			relabel.StatusClass(relabel.RouteTemplate(registry)), "worker_id", "request_id"),
	}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /push", s.push)
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return mux
}

func (s *server) push(w http.ResponseWriter, r *http.Request) {
	sent, err := s.read(http.MaxBytesReader(w, r.Body, maxCompressed), r.Header.Get("Content-Type"))
	s.samples.Add(uint64(sent))
	if err != nil {
		s.refused.Add(1)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.accepted.Add(1)
	w.WriteHeader(http.StatusNoContent)
}

// Decompressors and buffers are large: requests share them.
var (
	decompressors = sync.Pool{New: func() any { return new(gzip.Reader) }}
	buffers       = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 32<<10) }}
)

// read adds a gzipped batch to the registry and returns how many samples it held.
func (s *server) read(body io.Reader, contentType string) (int, error) {
	decompressor := decompressors.Get().(*gzip.Reader)
	defer decompressors.Put(decompressor)
	if err := decompressor.Reset(body); err != nil {
		return 0, fmt.Errorf("the batch is not gzipped: %w", err)
	}
	buffer := buffers.Get().(*bufio.Reader)
	defer buffers.Put(buffer)
	buffer.Reset(io.LimitReader(decompressor, maxBatch))
	return wire.Copy(s.pipeline, wire.NewDecoder(contentType, buffer))
}

func (s *server) metrics(w http.ResponseWriter, _ *http.Request) {
	out := s.registry.AppendText(nil)
	out = fmt.Appendf(out,
		"# TYPE wshim_requests_total counter\n"+
			"wshim_requests_total{code=\"204\"} %d\nwshim_requests_total{code=\"400\"} %d\n"+
			"# TYPE wshim_samples_total counter\nwshim_samples_total %d\n"+
			"# TYPE wshim_build_info gauge\nwshim_build_info{revision=%q,pgo=%q} 1\n",
		s.accepted.Load(), s.refused.Load(), s.samples.Load(), revision, pgo)
	out, err := process.AppendMetrics(out)
	if err != nil {
		log.Print(err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(out)
}
