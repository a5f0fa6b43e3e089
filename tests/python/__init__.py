"""Runs from what Python holds: ticks, iterables, data frames; helpers for tests of strategies."""
