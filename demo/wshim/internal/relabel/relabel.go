// Package relabel keeps the number of series small: each rule takes one source of endless label values away.
//
// A rule is a Sink in front of the next one.
package relabel

import (
	"bytes"
	"slices"

	"example.com/wshim/internal/telemetry"
)

type dropLabels struct {
	names []string
	next  telemetry.Sink
}

// DropLabels removes the labels that differ for each worker.
func DropLabels(next telemetry.Sink, names ...string) telemetry.Sink {
	return &dropLabels{names: names, next: next}
}

func (d *dropLabels) Add(s *telemetry.Sample) error {
	s.Labels = slices.DeleteFunc(s.Labels, d.drops)
	return d.next.Add(s)
}

func (d *dropLabels) drops(label telemetry.Label) bool {
	for _, name := range d.names {
		if string(label.Name) == name {
			return true
		}
	}
	return false
}

type statusClass struct {
	next telemetry.Sink
}

// StatusClass turns the label status="404" into status="4xx".
func StatusClass(next telemetry.Sink) telemetry.Sink {
	return &statusClass{next: next}
}

func (c *statusClass) Add(s *telemetry.Sample) error {
	if status := s.Label("status"); status != nil && len(status.Value) == 3 {
		start := len(s.Arena)
		s.Arena = append(s.Arena, status.Value[0], 'x', 'x')
		status.Value = s.Arena[start:]
	}
	return c.next.Add(s)
}

type routeTemplate struct {
	next telemetry.Sink
}

// RouteTemplate turns the label route="/v1/cart/8231" into route="/v1/cart/:id".
func RouteTemplate(next telemetry.Sink) telemetry.Sink {
	return &routeTemplate{next: next}
}

func (t *routeTemplate) Add(s *telemetry.Sample) error {
	if route := s.Label("route"); route != nil {
		route.Value = template(s, route.Value)
	}
	return t.next.Add(s)
}

func template(s *telemetry.Sample, route []byte) []byte {
	start := len(s.Arena)
	for first := true; ; first = false {
		segment, rest, more := bytes.Cut(route, []byte{'/'})
		if !first {
			s.Arena = append(s.Arena, '/')
		}
		if isID(segment) {
			s.Arena = append(s.Arena, ":id"...)
		} else {
			s.Arena = append(s.Arena, segment...)
		}
		if !more {
			return s.Arena[start:]
		}
		route = rest
	}
}

// isID tells a number or a hexadecimal key from a word: it holds a digit and does not start with a v.
func isID(segment []byte) bool {
	if len(segment) == 0 || segment[0] == 'v' {
		return false
	}
	for _, b := range segment {
		if '0' <= b && b <= '9' {
			return true
		}
	}
	return false
}
