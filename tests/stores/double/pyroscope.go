package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/pprof/profile"
	googlev1 "github.com/grafana/pyroscope/api/gen/proto/go/google/v1"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	querierv1 "github.com/grafana/pyroscope/api/gen/proto/go/querier/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/querier/v1/querierv1connect"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"google.golang.org/protobuf/proto"
)

const longest = 24 * time.Hour

type pyroscopeServer struct {
	querierv1connect.UnimplementedQuerierServiceHandler
	memory memory
}

func pyroscope() http.Handler {
	server, mux := &pyroscopeServer{}, http.NewServeMux()
	mux.Handle(pushv1connect.NewPusherServiceHandler(server))
	mux.Handle(querierv1connect.NewQuerierServiceHandler(server))
	return mux
}

func (s *pyroscopeServer) Push(_ context.Context, request *connect.Request[pushv1.PushRequest]) (*connect.Response[pushv1.PushResponse], error) {
	for _, series := range request.Msg.Series {
		labels := map[string]string{}
		for _, label := range series.Labels {
			labels[label.Name] = label.Value
		}
		for _, sample := range series.Samples {
			if err := s.memory.push(labels, sample.RawProfile); err != nil {
				return nil, connect.NewError(connect.CodeInvalidArgument, err)
			}
		}
	}
	return connect.NewResponse(&pushv1.PushResponse{}), nil
}

func (s *pyroscopeServer) ask(kind, selector string, start, end int64) (string, []kept, bool, error) {
	sampleType, err := kindOf(kind)
	if err == nil {
		var matchers [][2]string
		if matchers, err = matchersOf(selector); err == nil {
			if time.Duration(end-start)*time.Millisecond > longest {
				err = errors.New("the query time range exceeds the limit (query length: 24h0m1s, limit: 24h0m0s)")
			} else {
				found, known := s.memory.find(matchers, time.UnixMilli(start), time.UnixMilli(end))
				return sampleType, found, known, nil
			}
		} else {
			err = errors.New("parsing label selector \"" + selector + "\": " + err.Error())
		}
	}
	return "", nil, false, connect.NewError(connect.CodeInvalidArgument, err)
}

func (s *pyroscopeServer) SelectMergeProfile(_ context.Context, request *connect.Request[querierv1.SelectMergeProfileRequest]) (*connect.Response[googlev1.Profile], error) {
	asked := request.Msg
	kind, found, known, err := s.ask(asked.ProfileTypeID, asked.LabelSelector, asked.Start, asked.End)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && known {
		// The six bytes that a service without such an instance gave.
		nothing := &googlev1.Profile{SampleType: []*googlev1.ValueType{{}}, StringTable: []string{""}, PeriodType: &googlev1.ValueType{}}
		return connect.NewResponse(nothing), nil
	}
	p, err := merged(found, kind)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	answer := &googlev1.Profile{}
	if p != nil {
		if err := proto.Unmarshal(unzipped(takenIn(p)), answer); err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
	}
	return connect.NewResponse(answer), nil
}

func (s *pyroscopeServer) SelectSeries(_ context.Context, request *connect.Request[querierv1.SelectSeriesRequest]) (*connect.Response[querierv1.SelectSeriesResponse], error) {
	asked := request.Msg
	_, found, _, err := s.ask(asked.ProfileTypeID, asked.LabelSelector, asked.Start, asked.End)
	if err != nil {
		return nil, err
	}
	answer := &querierv1.SelectSeriesResponse{}
	labels, sums := grouped(found, asked.GroupBy)
	for number, values := range labels {
		series := &typesv1.Series{Points: []*typesv1.Point{{Value: float64(sums[number]), Timestamp: asked.End}}}
		for name, value := range values {
			series.Labels = append(series.Labels, &typesv1.LabelPair{Name: name, Value: value})
		}
		answer.Series = append(answer.Series, series)
	}
	return connect.NewResponse(answer), nil
}

// takenIn does to a profile what Pyroscope does when it takes it in: type arguments go from names, and
// addresses, mapping ranges and the duration are lost; the period is a second.
func takenIn(p *profile.Profile) *profile.Profile {
	for _, function := range p.Function {
		function.Name = withoutShapes(function.Name)
		function.SystemName = withoutShapes(function.SystemName)
	}
	for _, location := range p.Location {
		location.Address = 0
	}
	for _, mapping := range p.Mapping {
		mapping.Start, mapping.Limit, mapping.Offset = 0, 0, 0
	}
	p.Period, p.DurationNanos = int64(time.Second), 0
	return p
}

// withoutShapes takes [go.shape.…] out of a name, as far as the bracket that closes it.
func withoutShapes(name string) string {
	start := strings.Index(name, "[go.shape.")
	if start < 0 {
		return name
	}
	depth := 0
	for at := start; at < len(name); at++ {
		switch name[at] {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return name[:start] + withoutShapes(name[at+1:])
			}
		}
	}
	return name[:start]
}
