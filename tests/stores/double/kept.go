package main

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/pprof/profile"
)

// kept is a profile that was pushed, with its labels and when it begins.
type kept struct {
	labels map[string]string
	start  time.Time
	raw    []byte
}

// memory holds what was pushed.
type memory struct {
	mu    sync.Mutex
	items []kept
}

func (m *memory) push(labels map[string]string, raw []byte) error {
	p, err := profile.ParseData(raw)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items = append(m.items, kept{labels, time.Unix(0, p.TimeNanos), raw})
	return nil
}

// find returns what has the labels and begins in [start, end), and whether anything has the first label.
func (m *memory) find(matchers [][2]string, start, end time.Time) (found []kept, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, item := range m.items {
		matches := true
		for number, matcher := range matchers {
			same := item.labels[matcher[0]] == matcher[1]
			known = known || (number == 0 && same)
			matches = matches && same
		}
		if matches && !item.start.Before(start) && item.start.Before(end) {
			found = append(found, item)
		}
	}
	return found, known
}

// merged adds profiles up, with one of their sample types alone.
func merged(items []kept, kind string) (*profile.Profile, error) {
	var all []*profile.Profile
	for _, item := range items {
		p, err := profile.ParseData(item.raw)
		if err != nil {
			return nil, err
		}
		at := -1
		for number, of := range p.SampleType {
			if of.Type == kind {
				at = number
			}
		}
		if at < 0 {
			continue
		}
		p.SampleType = p.SampleType[at : at+1]
		for _, sample := range p.Sample {
			sample.Value = sample.Value[at : at+1]
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return profile.Merge(all)
}

// cpu returns the nanoseconds of CPU time in a profile.
func (k kept) cpu() (sum int64) {
	p, err := merged([]kept{k}, "cpu")
	if err != nil || p == nil {
		return 0
	}
	for _, sample := range p.Sample {
		sum += sample.Value[0]
	}
	return sum
}

func packed(p *profile.Profile) []byte {
	var buffer bytes.Buffer
	_ = p.Write(&buffer)
	return buffer.Bytes()
}

var (
	typeOf  = regexp.MustCompile(`^[\w]+:(\w+):\w+:\w+:\w+(:delta)?$`)
	matcher = regexp.MustCompile(`^\s*(\w+)\s*=\s*"([^"]*)"\s*$`)
)

// kindOf returns the sample type in a profile type.
func kindOf(text string) (string, error) {
	found := typeOf.FindStringSubmatch(text)
	if found == nil {
		return "", errors.New("profile-type selection must be of the form <name>:<sample-type>:<sample-unit>:<period-type>:<period-unit>(:delta), got(1): \"" + text + "\"")
	}
	return found[1], nil
}

// matchersOf reads {label="value", …}.
func matchersOf(text string) (found [][2]string, err error) {
	inner, ok := strings.CutPrefix(text, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	if !ok || !closed {
		return nil, errors.New("parse error: unexpected end of input inside braces")
	}
	for _, each := range strings.Split(inner, ",") {
		if strings.TrimSpace(each) == "" {
			continue
		}
		parts := matcher.FindStringSubmatch(each)
		if parts == nil {
			return nil, errors.New("parse error: " + each)
		}
		found = append(found, [2]string{parts[1], parts[2]})
	}
	return found, nil
}

// grouped adds up the CPU time of items by the values of labels.
func grouped(items []kept, by []string) (labels []map[string]string, nanoseconds []int64) {
	places := map[string]int{}
	for _, item := range items {
		values := map[string]string{}
		key := ""
		for _, name := range by {
			if value, ok := item.labels[name]; ok {
				values[name] = value
				key += name + "\x00" + value + "\x00"
			}
		}
		place, ok := places[key]
		if !ok {
			place = len(labels)
			places[key] = place
			labels, nanoseconds = append(labels, values), append(nanoseconds, 0)
		}
		nanoseconds[place] += item.cpu()
	}
	return labels, nanoseconds
}
