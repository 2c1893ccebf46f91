"""The demo: a seeded city, carriers of its own, and people who answer."""
