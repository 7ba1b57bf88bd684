// Package wire reads the formats in which workers push their batches.
package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"example.com/wshim/internal/telemetry"
)

// A Decoder reads the samples of one batch.
type Decoder interface {
	// Decode reads the next line into s. It returns io.EOF at the batch's end, and a LineError for a line
	// that it has skipped because it says nothing.
	Decode(s *telemetry.Sample) error
}

// LineError says what is wrong with one line of a batch. The lines behind it can be read.
type LineError struct {
	Line    int
	Problem string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// NewDecoder returns the decoder for a request's Content-Type.
func NewDecoder(contentType string, batch *bufio.Reader) Decoder {
	if contentType == "application/x-ndjson" {
		return &jsonLines{in: batch}
	}
	return &text{in: batch}
}

// maxBad is the number of bad lines after which the rest of a batch is not worth reading.
const maxBad = 20

// Copy sends the samples of a batch to sink and returns how many it took.
// Bad lines are skipped; the error names them.
func Copy(sink telemetry.Sink, decoder Decoder) (int, error) {
	var (
		sample telemetry.Sample
		bad    []error
		taken  int
	)
	for len(bad) < maxBad {
		sample.Reset()
		err := decoder.Decode(&sample)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = sink.Add(&sample)
		} else if !errors.As(err, new(*LineError)) {
			return taken, fmt.Errorf("the batch cannot be read: %w", err)
		}
		if err != nil {
			bad = append(bad, err)
			continue
		}
		taken++
	}
	return taken, errors.Join(bad...)
}
