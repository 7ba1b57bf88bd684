// Package aggregate adds samples up by their label set and shows the sums to Prometheus.
package aggregate

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"

	"example.com/wshim/internal/telemetry"
)

const shardCount = 16

// Registry holds all series. It may be used by many goroutines.
type Registry struct {
	seed     maphash.Seed
	perShard int
	shards   [shardCount]shard
}

// shard is a part of the series under one lock, so that batches seldom wait for each other.
type shard struct {
	mu     sync.Mutex
	series map[string]*series
}

type series struct {
	name   string
	labels string // as in the text format: a="b",c="d"
	kind   telemetry.Kind
	lock   *sync.Mutex // the shard's, which guards total
	total  aggregate
}

// NewRegistry returns an empty registry that takes about limit series.
func NewRegistry(limit int) *Registry {
	r := &Registry{seed: maphash.MakeSeed(), perShard: limit / shardCount}
	for i := range r.shards {
		r.shards[i].series = make(map[string]*series)
	}
	return r
}

// Add adds a sample to its series.
func (r *Registry) Add(s *telemetry.Sample) error {
	s.SortLabels()
	start := len(s.Arena)
	s.Arena = appendKey(s.Arena, s)
	key := s.Arena[start:]
	shard := &r.shards[maphash.Bytes(r.seed, key)%shardCount]

	shard.mu.Lock()
	defer shard.mu.Unlock()
	found, ok := shard.series[string(key)]
	if !ok {
		if len(shard.series) >= r.perShard {
			return fmt.Errorf("no room for a new series of %s: there are %d in its shard", s.Name, r.perShard)
		}
		found = newSeries(key, s, &shard.mu)
		shard.series[string(key)] = found
	}
	if found.kind != s.Kind {
		return fmt.Errorf("%s is a %s, not a %s", s.Name, found.kind, s.Kind)
	}
	found.total.observe(s.Value)
	return nil
}

func newSeries(key []byte, s *telemetry.Sample, lock *sync.Mutex) *series {
	_, labels, _ := bytes.Cut(key, []byte{'{'})
	return &series{
		name: string(s.Name), labels: string(labels), kind: s.Kind, lock: lock, total: newAggregate(s.Kind),
	}
}

// appendKey appends name{a="b",c="d" of a sample with sorted labels.
func appendKey(key []byte, s *telemetry.Sample) []byte {
	key = append(key, s.Name...)
	key = append(key, '{')
	for i, label := range s.Labels {
		if i > 0 {
			key = append(key, ',')
		}
		key = append(key, label.Name...)
		key = append(key, '=', '"')
		key = appendEscaped(key, label.Value)
		key = append(key, '"')
	}
	return key
}

func appendEscaped(out, value []byte) []byte {
	for _, b := range value {
		switch b {
		case '\\', '"':
			out = append(out, '\\', b)
		case '\n':
			out = append(out, '\\', 'n')
		default:
			out = append(out, b)
		}
	}
	return out
}

// AppendText appends all series in the Prometheus text format, sorted by name and labels.
func (r *Registry) AppendText(out []byte) []byte {
	e := encoder{out: out}
	last := ""
	for _, s := range r.sorted() {
		if s.name != last {
			e.family(s.name, s.kind)
			last = s.name
		}
		s.lock.Lock()
		s.total.write(&e, s.name, s.labels)
		s.lock.Unlock()
	}
	return e.out
}

func (r *Registry) sorted() []*series {
	var all []*series
	for i := range r.shards {
		shard := &r.shards[i]
		shard.mu.Lock()
		for _, s := range shard.series {
			all = append(all, s)
		}
		shard.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b *series) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.labels, b.labels))
	})
	return all
}
