package aggregate

import (
	"sort"

	"example.com/wshim/internal/telemetry"
)

// aggregate is what one series has added up to.
type aggregate interface {
	observe(value float64)
	// write appends the series in the Prometheus text format.
	write(e *encoder, name, labels string)
}

func newAggregate(kind telemetry.Kind) aggregate {
	switch kind {
	case telemetry.Gauge:
		return &gauge{}
	case telemetry.Histogram:
		return &histogram{counts: make([]uint64, len(bounds))}
	default:
		return &counter{}
	}
}

type counter struct{ sum float64 }

func (c *counter) observe(value float64) { c.sum += value }

func (c *counter) write(e *encoder, name, labels string) { e.sample(name, "", labels, "", c.sum) }

type gauge struct{ last float64 }

func (g *gauge) observe(value float64) { g.last = value }

func (g *gauge) write(e *encoder, name, labels string) { e.sample(name, "", labels, "", g.last) }

// bounds are the upper bounds of the buckets, in seconds: what workers measure is mostly a duration.
var bounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

var boundLabels = func() []string {
	labels := make([]string, len(bounds))
	for i, bound := range bounds {
		labels[i] = `le="` + string(appendValue(nil, bound)) + `"`
	}
	return labels
}()

type histogram struct {
	counts []uint64
	count  uint64
	sum    float64
}

func (h *histogram) observe(value float64) {
	if i := sort.SearchFloat64s(bounds, value); i < len(bounds) {
		h.counts[i]++
	}
	h.count++
	h.sum += value
}

func (h *histogram) write(e *encoder, name, labels string) {
	cumulative := uint64(0)
	for i, n := range h.counts {
		cumulative += n
		e.sample(name, "_bucket", labels, boundLabels[i], float64(cumulative))
	}
	e.sample(name, "_bucket", labels, `le="+Inf"`, float64(h.count))
	e.sample(name, "_sum", labels, "", h.sum)
	e.sample(name, "_count", labels, "", float64(h.count))
}
