"""An alert from the first word typed to its end: draft, checks, approval, lifecycle."""
