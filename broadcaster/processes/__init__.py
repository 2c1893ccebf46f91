"""The long-running processes: sender, clockwork, intake. Each may be killed at any moment."""
