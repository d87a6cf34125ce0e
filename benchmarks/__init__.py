"""Benchmarks: ratios between things that are measured interleaved, in one run, on one machine. See README.md."""
