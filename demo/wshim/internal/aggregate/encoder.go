package aggregate

import (
	"strconv"

	"example.com/wshim/internal/telemetry"
)

// encoder appends lines of the Prometheus text format to out.
type encoder struct {
	out []byte
}

func (e *encoder) family(name string, kind telemetry.Kind) {
	e.out = append(e.out, "# TYPE "...)
	e.out = append(e.out, name...)
	e.out = append(e.out, ' ')
	e.out = append(e.out, kind.String()...)
	e.out = append(e.out, '\n')
}

// sample appends one line; extra is one more label, already encoded, or nothing.
func (e *encoder) sample(name, suffix, labels, extra string, value float64) {
	e.out = append(e.out, name...)
	e.out = append(e.out, suffix...)
	if labels != "" || extra != "" {
		e.out = append(e.out, '{')
		e.out = append(e.out, labels...)
		if labels != "" && extra != "" {
			e.out = append(e.out, ',')
		}
		e.out = append(e.out, extra...)
		e.out = append(e.out, '}')
	}
	e.out = append(e.out, ' ')
	e.out = appendValue(e.out, value)
	e.out = append(e.out, '\n')
}

func appendValue(out []byte, value float64) []byte {
	return strconv.AppendFloat(out, value, 'g', -1, 64)
}
