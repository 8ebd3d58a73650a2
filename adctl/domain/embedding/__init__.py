"""Creatives as vectors: pure functions of their words, their attributes and a table that is passed in."""
