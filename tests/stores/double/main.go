// Command stores plays Pyroscope and Parca, as real ones were measured (tests/testdata/stores).
//
// Pyroscope's messages and handlers are its own, from the module github.com/grafana/pyroscope/api. Parca
// publishes none; its gateway's JSON is written after its recorded answers.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
)

func main() {
	for name, handler := range map[string]http.Handler{"pyroscope": pyroscope(), "parca": parca()} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s http://%s\n", name, listener.Addr())
		go func() { log.Fatal(http.Serve(listener, handler)) }()
	}
	select {}
}
