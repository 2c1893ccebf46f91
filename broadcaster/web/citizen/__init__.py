"""Public pages of published alerts."""
