// Package serve is what both services have in common: an address, metrics and profiles.
package serve

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	_ "net/http/pprof"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// Run serves a handler at /, the metrics that Prometheus' client for Go would export, and /debug/pprof/.
func Run(handler http.HandlerFunc) {
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve at")
	flag.Parse()
	var requests atomic.Int64
	started := time.Now()
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		requests.Add(1)
		handler(answer, request)
	})
	http.HandleFunc("/metrics", func(answer http.ResponseWriter, _ *http.Request) {
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			http.Error(answer, err.Error(), http.StatusInternalServerError)
			return
		}
		cpu := time.Duration(used.Utime.Nano() + used.Stime.Nano())
		fmt.Fprintf(answer, "# TYPE go_info gauge\ngo_info{version=%q} 1\n", runtime.Version())
		fmt.Fprintf(answer, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %g\n", cpu.Seconds())
		fmt.Fprintf(answer, "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %d\n", started.Unix())
		fmt.Fprintf(answer, "# TYPE http_requests_total counter\nhttp_requests_total %d\n", requests.Load())
	})
	log.Fatal(http.ListenAndServe(*listen, nil))
}
