"""Carriers: one class per channel with the same small interface (see base.py)."""
