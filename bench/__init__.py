"""Benches: one file per figure, each with its peer in the same run where there is one."""
