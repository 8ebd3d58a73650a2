"""Tests of the bayes policy."""
