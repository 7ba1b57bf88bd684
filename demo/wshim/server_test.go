package main

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func push(t *testing.T, handler http.Handler, lines string) int {
	t.Helper()
	var body bytes.Buffer
	compressor := gzip.NewWriter(&body)
	compressor.Write([]byte(lines))
	compressor.Close()
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("POST", "/push", &body))
	return answer.Code
}

func metrics(handler http.Handler) string {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	return answer.Body.String()
}

func TestBatchesAddUpByLabelSet(t *testing.T) {
	handler := newServer().handler()
	push(t, handler, `counter hits{route="/v1/cart/12",status="200",worker_id="w-1"} 2`)
	push(t, handler, `counter hits{worker_id="w-2",status="204",route="/v1/cart/7"} 3`)
	want := "# TYPE hits counter\n" + `hits{route="/v1/cart/:id",status="2xx"} 5` + "\n"
	if got := metrics(handler); !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHistogramsAreCumulative(t *testing.T) {
	handler := newServer().handler()
	push(t, handler, "histogram seconds{a=\"b\"} 0.02\nhistogram seconds{a=\"b\"} 0.3\nhistogram seconds{a=\"b\"} 60\n")
	got := metrics(handler)
	for _, want := range []string{
		`seconds_bucket{a="b",le="0.01"} 0`, `seconds_bucket{a="b",le="0.025"} 1`, `seconds_bucket{a="b",le="5"} 2`,
		`seconds_bucket{a="b",le="+Inf"} 3`, `seconds_sum{a="b"} 60.32`, `seconds_count{a="b"} 3`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestASeriesKeepsItsKind(t *testing.T) {
	handler := newServer().handler()
	push(t, handler, "counter hits 1")
	if code := push(t, handler, "gauge hits 9"); code != http.StatusBadRequest {
		t.Errorf("got status %d, want %d", code, http.StatusBadRequest)
	}
	if got := metrics(handler); !strings.Contains(got, "\nhits 1\n") {
		t.Errorf("got %s, want the counter unchanged", got)
	}
}

func TestABodyThatIsNotGzippedIsRefused(t *testing.T) {
	handler := newServer().handler()
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("POST", "/push", strings.NewReader("counter hits 1")))
	if answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "not gzipped") {
		t.Errorf("got %d %s, want 400 and the reason", answer.Code, answer.Body)
	}
}

func TestItCountsItsRequests(t *testing.T) {
	handler := newServer().handler()
	push(t, handler, "counter hits 1")
	push(t, handler, "nonsense")
	got := metrics(handler)
	for _, want := range []string{`wshim_requests_total{code="204"} 1`, `wshim_requests_total{code="400"} 1`, "wshim_samples_total 1"} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
