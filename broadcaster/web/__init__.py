"""Everything that speaks HTTP: the console, citizen pages, the API, feeds and hooks."""
