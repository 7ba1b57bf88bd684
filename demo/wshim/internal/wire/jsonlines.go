package wire

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"example.com/wshim/internal/telemetry"
)

// jsonLines reads lines such as
//
//	{"kind":"counter","name":"worker_requests_total","labels":{"script":"cart"},"value":17}
type jsonLines struct {
	in   *bufio.Reader
	line int
}

type jsonLine struct {
	Kind   string            `json:"kind"`
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

func (j *jsonLines) Decode(s *telemetry.Sample) error {
	j.line++
	line, err := j.in.ReadBytes('\n')
	if err != nil && (err != io.EOF || len(line) == 0) {
		return err
	}
	var read jsonLine
	if err := json.Unmarshal(line, &read); err != nil {
		return &LineError{j.line, "no JSON: " + err.Error()}
	}
	kind, ok := telemetry.ParseKind([]byte(read.Kind))
	if !ok {
		return &LineError{j.line, fmt.Sprintf("%q is no kind", read.Kind)}
	}
	s.Kind = kind
	s.Name = []byte(read.Name)
	s.Value = read.Value
	for name, value := range read.Labels {
		s.Labels = append(s.Labels, telemetry.Label{Name: []byte(name), Value: []byte(value)})
	}
	return nil
}
