"""Published alerts for other systems: CAP, Atom, GeoJSON."""
