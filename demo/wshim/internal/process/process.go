// Package process tells what this process takes of its machine.
package process

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

var start = time.Now()

// AppendMetrics appends CPU time, resident memory and start time under the names that all exporters use.
func AppendMetrics(out []byte) ([]byte, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return out, fmt.Errorf("the CPU time of this process: %w", err)
	}
	resident, err := residentBytes()
	if err != nil {
		return out, fmt.Errorf("the memory of this process: %w", err)
	}
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	return fmt.Appendf(out,
		"# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %g\n"+
			"# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %d\n"+
			"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.3f\n",
		cpu.Seconds(), resident, float64(start.UnixMilli())/1000), nil
}

func residentBytes() (int, error) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return 0, err
	}
	return resident * os.Getpagesize(), nil
}
