"""The Go toolchain and Go source: builds, benchmarks, decisions, source match."""
