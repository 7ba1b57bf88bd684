package wire

import (
	"fmt"
	"io"
	"strconv"

	"example.com/wshim/internal/telemetry"
)

// text reads lines such as
//
//	counter worker_requests_total{script="cart",status="200"} 17
type text struct {
	in   io.ByteScanner
	line int
}

func (t *text) Decode(s *telemetry.Sample) error {
	t.line++
	if err := t.sample(s); err != nil {
		return err
	}
	return t.endOfLine()
}

func (t *text) sample(s *telemetry.Sample) error {
	kindName, err := t.identifier(s)
	if err == io.EOF && len(kindName) == 0 {
		return err
	}
	if err != nil {
		return t.unexpected(err)
	}
	kind, ok := telemetry.ParseKind(kindName)
	if !ok {
		return t.skipLine("%q is no kind", kindName)
	}
	s.Kind = kind
	if err := t.spaces(); err != nil {
		return t.unexpected(err)
	}
	if s.Name, err = t.identifier(s); err != nil {
		return t.unexpected(err)
	}
	if len(s.Name) == 0 {
		return t.skipLine("no metric name after the kind")
	}
	open, err := t.in.ReadByte()
	if err != nil {
		return t.unexpected(err)
	}
	if open != '{' {
		t.in.UnreadByte()
	}
	for more := open == '{'; more; {
		label, err := t.label(s)
		if err != nil {
			return t.unexpected(err)
		}
		s.Labels = append(s.Labels, *label)
		b, err := t.in.ReadByte()
		if err != nil {
			return t.unexpected(err)
		}
		if b != ',' && b != '}' {
			t.in.UnreadByte()
			return t.skipLine("%q after the value of label %s", b, label.Name)
		}
		more = b == ','
	}
	if err := t.spaces(); err != nil {
		return t.unexpected(err)
	}
	return t.value(s)
}

// label reads a label up to the quote behind its value.
//
// It is too long to be inlined, so each label is allocated; with a profile it is inlined, and none is.
func (t *text) label(s *telemetry.Sample) (*telemetry.Label, error) {
	name, err := t.identifier(s)
	if err != nil {
		return nil, err
	}
	if err := t.expect(`="`); err != nil {
		return nil, err
	}
	value, err := t.quoted(s)
	if err != nil {
		return nil, err
	}
	return &telemetry.Label{Name: name, Value: value}, nil
}

func (t *text) value(s *telemetry.Sample) error {
	start := len(s.Arena)
	for {
		b, err := t.in.ReadByte()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if b == '\n' || b == ' ' {
			t.in.UnreadByte()
			break
		}
		s.Arena = append(s.Arena, b)
	}
	value, err := strconv.ParseFloat(string(s.Arena[start:]), 64)
	if err != nil {
		return t.skipLine("the value %q of %s is no number", s.Arena[start:], s.Name)
	}
	s.Value = value
	return nil
}

// identifier reads a name, which may be empty. With an error it returns what it has read.
func (t *text) identifier(s *telemetry.Sample) ([]byte, error) {
	start := len(s.Arena)
	for {
		b, err := t.in.ReadByte()
		if err != nil {
			return s.Arena[start:], err
		}
		if !isIdentifier(b) {
			return s.Arena[start:], t.in.UnreadByte()
		}
		s.Arena = append(s.Arena, b)
	}
}

// quoted reads a label's value behind its opening quote and resolves \\, \" and \n.
func (t *text) quoted(s *telemetry.Sample) ([]byte, error) {
	start := len(s.Arena)
	for {
		b, err := t.in.ReadByte()
		if err != nil {
			return nil, err
		}
		switch b {
		case '"':
			return s.Arena[start:], nil
		case '\\':
			if b, err = t.in.ReadByte(); err != nil {
				return nil, err
			}
			if b == 'n' {
				b = '\n'
			}
		case '\n':
			t.in.UnreadByte()
			return nil, t.skipLine("a label's value has no end")
		}
		s.Arena = append(s.Arena, b)
	}
}

func (t *text) expect(token string) error {
	for i := range len(token) {
		b, err := t.in.ReadByte()
		if err != nil {
			return err
		}
		if b != token[i] {
			t.in.UnreadByte()
			return t.skipLine("%q where %q belongs", b, token)
		}
	}
	return nil
}

func (t *text) spaces() error {
	for {
		b, err := t.in.ReadByte()
		if err != nil {
			return err
		}
		if b != ' ' {
			return t.in.UnreadByte()
		}
	}
}

func (t *text) endOfLine() error {
	b, err := t.in.ReadByte()
	if err == io.EOF || err == nil && b == '\n' {
		return nil
	}
	if err != nil {
		return err
	}
	return t.skipLine("%q after the value", b)
}

// unexpected turns the batch's end inside of a line into a LineError.
func (t *text) unexpected(err error) error {
	if err == io.EOF {
		return &LineError{t.line, "the batch ends inside of the line"}
	}
	return err
}

// skipLine goes to the start of the next line and returns what was wrong with this one.
func (t *text) skipLine(format string, args ...any) error {
	problem := fmt.Sprintf(format, args...)
	for {
		b, err := t.in.ReadByte()
		if err == io.EOF || err == nil && b == '\n' {
			return &LineError{t.line, problem}
		}
		if err != nil {
			return err
		}
	}
}

func isIdentifier(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_' || b == ':'
}
