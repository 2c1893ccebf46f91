"""Local carriers for the demo and the tests.

They speak the real protocols; nothing that sends knows they are here.
"""
