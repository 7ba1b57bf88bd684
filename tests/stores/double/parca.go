package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

type parcaServer struct{ memory memory }

type label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type labelset struct {
	Labels []label `json:"labels"`
}

func parca() http.Handler {
	server, mux := &parcaServer{}, http.NewServeMux()
	mux.HandleFunc("POST /api/profiles/writeraw", server.write)
	mux.HandleFunc("GET /api/profiles/query", server.query)
	mux.HandleFunc("GET /api/profiles/query_range", server.queryRange)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><html><head><title>Parca</title></head></html>")
	})
	return mux
}

func refuse(w http.ResponseWriter, message string) {
	w.WriteHeader(http.StatusBadRequest)
	answer(w, map[string]any{"code": 3, "message": message, "details": []any{}})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func (s *parcaServer) write(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Series []struct {
			Labels  labelset `json:"labels"`
			Samples []struct {
				RawProfile []byte `json:"rawProfile"`
			} `json:"samples"`
		} `json:"series"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuse(w, err.Error())
		return
	}
	for _, series := range asked.Series {
		labels := map[string]string{}
		for _, each := range series.Labels.Labels {
			labels[each.Name] = each.Value
		}
		for _, sample := range series.Samples {
			if err := s.memory.push(labels, sample.RawProfile); err != nil {
				refuse(w, err.Error())
				return
			}
		}
	}
	answer(w, map[string]any{})
}

// find returns what a query's text and its times select.
func (s *parcaServer) find(w http.ResponseWriter, query, start, end string) ([]kept, string, bool) {
	kind, selector, _ := strings.Cut(query, "{")
	sampleType, err := kindOf(kind)
	if err != nil {
		refuse(w, err.Error())
		return nil, "", false
	}
	matchers, err := matchersOf("{" + selector)
	if err != nil {
		refuse(w, "failed to parse query")
		return nil, "", false
	}
	from, errFrom := time.Parse(time.RFC3339Nano, start)
	to, errTo := time.Parse(time.RFC3339Nano, end)
	if errFrom != nil || errTo != nil {
		refuse(w, "type mismatch, parameter: start")
		return nil, "", false
	}
	found, _ := s.memory.find(matchers, from, to)
	return found, sampleType, true
}

func (s *parcaServer) query(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	found, kind, ok := s.find(w, asked.Get("merge.query"), asked.Get("merge.start"), asked.Get("merge.end"))
	if !ok {
		return
	}
	p, err := merged(found, kind)
	if err != nil {
		refuse(w, err.Error())
		return
	}
	if p == nil {
		p = &profile.Profile{}
	}
	// Samples come back as CPU time; the period is lost, and the time overflows.
	for _, sample := range p.Sample {
		if kind == "samples" {
			sample.Value[0] *= 10_000_000
		}
	}
	p.SampleType = []*profile.ValueType{{Type: "cpu", Unit: "nanoseconds"}}
	p.PeriodType = &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}
	p.Period, p.DurationNanos, p.TimeNanos = 0, 0, -6795364578871345152
	answer(w, map[string]any{"pprof": packed(p), "total": "0", "filtered": "0"})
}

func (s *parcaServer) queryRange(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	found, _, ok := s.find(w, asked.Get("query"), asked.Get("start"), asked.Get("end"))
	if !ok {
		return
	}
	series := []map[string]any{}
	labels, sums := grouped(found, asked["sumBy"])
	for number, values := range labels {
		set := labelset{[]label{}}
		for name, value := range values {
			set.Labels = append(set.Labels, label{name, value})
		}
		samples := []map[string]any{{"timestamp": asked.Get("end"), "value": fmt.Sprint(sums[number])}}
		series = append(series, map[string]any{"labelset": set, "samples": samples})
	}
	answer(w, map[string]any{"series": series})
}

func unzipped(p *profile.Profile) []byte {
	reader, err := gzip.NewReader(bytes.NewReader(packed(p)))
	if err != nil {
		return nil
	}
	data, _ := io.ReadAll(reader)
	return data
}
