// wshim is a push gateway: workers push batches of telemetry, Prometheus scrapes what they add up to.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

// Set by the linker; the Makefile says with what.
var (
	revision = "unknown"
	pgo      = "off"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9900", "address to serve on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server := &http.Server{Addr: *listen, Handler: newServer().handler(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	log.Printf("wshim %s (profile %s) serves on %s", revision, pgo, *listen)

	select {
	case err := <-failed:
		log.Fatal(err)
	case <-ctx.Done():
	}
	// Requests that are under way may finish; a CPU profile of half a minute may not.
	deadline, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := server.Shutdown(deadline); errors.Is(err, context.DeadlineExceeded) {
		log.Print("stopped with requests under way")
	}
}
