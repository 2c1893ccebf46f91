"""Geometry and people's places: what an area means, and who is in it.

Knows no wording, no channel and no database: it is given columns and outlines, and answers.
"""
