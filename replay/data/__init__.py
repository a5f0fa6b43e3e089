"""Data sets: convert, describe and show them, guess what a file holds, and make a synthetic market.

May not live here: the decoding of a format (adapters).
"""
