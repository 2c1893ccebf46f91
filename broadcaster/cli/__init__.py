"""The commands behind run.py, one file per group."""
