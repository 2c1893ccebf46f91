"""Wording: what an alert says, per event, language and channel (see wording/README.md)."""
