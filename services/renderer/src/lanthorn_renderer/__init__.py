"""Frames as pictures."""
