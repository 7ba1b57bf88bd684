"""The Go toolchain and Go source: building, benchmarks, the compiler's decisions, and how a profile fits a source."""
