package wire

import (
	"bufio"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"example.com/wshim/internal/telemetry"
)

// sample is a telemetry.Sample that can be compared.
type sample struct {
	kind   telemetry.Kind
	name   string
	labels map[string]string
	value  float64
}

// keep is a Sink that remembers.
type keep []sample

func (k *keep) Add(s *telemetry.Sample) error {
	labels := map[string]string{}
	for _, label := range s.Labels {
		labels[string(label.Name)] = string(label.Value)
	}
	*k = append(*k, sample{s.Kind, string(s.Name), labels, s.Value})
	return nil
}

func read(t *testing.T, contentType, batch string) (keep, error) {
	t.Helper()
	var got keep
	_, err := Copy(&got, NewDecoder(contentType, bufio.NewReader(strings.NewReader(batch))))
	return got, err
}

func TestBothFormatsSayTheSame(t *testing.T) {
	want := keep{{telemetry.Counter, "hits", map[string]string{"script": "cart", "status": "200"}, 17}}
	for contentType, batch := range map[string]string{
		"text/plain":           `counter hits{script="cart",status="200"} 17`,
		"application/x-ndjson": `{"kind":"counter","name":"hits","labels":{"script":"cart","status":"200"},"value":17}`,
	} {
		got, err := read(t, contentType, batch+"\n")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v, want %v", contentType, got, err, want)
		}
	}
}

func TestEscapesAreResolved(t *testing.T) {
	got, err := read(t, "", `gauge up{path="C:\\tmp",said="\"no\"\n"} 1`)
	want := map[string]string{"path": `C:\tmp`, "said": "\"no\"\n"}
	if err != nil || !reflect.DeepEqual(got[0].labels, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestASeriesWithoutLabels(t *testing.T) {
	got, err := read(t, "", "histogram seconds 1.5e-3")
	want := keep{{telemetry.Histogram, "seconds", map[string]string{}, 0.0015}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestABadLineDoesNotHideTheOthers(t *testing.T) {
	for _, bad := range []string{
		"summary seconds 1", "counter {} 1", "counter hits{script} 1", `counter hits{a="b" 1`, `counter hits{a="b} 1`,
		"counter hits many", "counter hits 1 2", "counter hits",
	} {
		got, err := read(t, "", "counter before 1\n"+bad+"\ncounter after 2\n")
		var line *LineError
		if !errors.As(err, &line) || line.Line != 2 {
			t.Errorf("%s: got the error %v, want one about line 2", bad, err)
		}
		if len(got) != 2 || got[1].name != "after" {
			t.Errorf("%s: got %v, want the lines around it", bad, got)
		}
	}
}

func TestATruncatedBatchIsAnError(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("counter hits 1\ncoun"), failing{})
	var got keep
	taken, err := Copy(&got, NewDecoder("", bufio.NewReader(broken)))
	if taken != 1 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %d, %v, want 1 sample and %v", taken, err, io.ErrUnexpectedEOF)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
