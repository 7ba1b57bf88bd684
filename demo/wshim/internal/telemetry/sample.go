// Package telemetry holds the values that travel from a pushed line to an aggregate.
package telemetry

import (
	"bytes"
	"slices"
)

// Kind says how the values of a series add up.
type Kind uint8

// The kinds of a series.
const (
	Counter   Kind = iota // values are added
	Gauge                 // the last value counts
	Histogram             // values are counted by bucket
)

var kindNames = [...]string{Counter: "counter", Gauge: "gauge", Histogram: "histogram"}

func (k Kind) String() string { return kindNames[k] }

// ParseKind returns the kind with that name.
func ParseKind(name []byte) (Kind, bool) {
	for kind, kindName := range kindNames {
		if string(name) == kindName {
			return Kind(kind), true
		}
	}
	return 0, false
}

// Label is one name and value of a series. Both point into the sample's memory: copy what outlives it.
type Label struct {
	Name, Value []byte
}

// Sample is one line of a batch. A Sample is reused for all lines of a batch.
type Sample struct {
	Kind   Kind
	Name   []byte
	Labels []Label
	Value  float64

	// Arena is the memory of what a rule or a parser writes for this line: append, then take the end.
	Arena []byte
}

// Reset empties s and keeps its memory.
func (s *Sample) Reset() {
	s.Labels = s.Labels[:0]
	s.Arena = s.Arena[:0]
}

// SortLabels puts the labels into the order in which equal sets are equal.
func (s *Sample) SortLabels() {
	slices.SortFunc(s.Labels, compareNames)
}

func compareNames(a, b Label) int {
	return bytes.Compare(a.Name, b.Name)
}

// Label returns the label with that name, or nil.
func (s *Sample) Label(name string) *Label {
	for i := range s.Labels {
		if string(s.Labels[i].Name) == name {
			return &s.Labels[i]
		}
	}
	return nil
}

// Sink takes samples. It may change the sample, and must not keep it or its slices.
// An error is about this sample only: the next one may pass.
type Sink interface {
	Add(s *Sample) error
}
