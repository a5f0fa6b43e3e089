"""Tests of everything between a file or stream and an array of records.

May not live here: what the engine does with the records.
"""
