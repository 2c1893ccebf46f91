"""Carriers for volume: fast, exact about every message on the wire, and faulty on request.

The lab's carriers (`channels/lab`) are careful listeners that keep whole messages for people to
look at. These keep one line a message in memory (when, to whom, which content, what was answered)
at some ten microseconds each, so that on one machine the service is measured and not they.
"""
