"""The alert broadcasting service: alerts, cadence, fan-out, incidents, people and the console."""
