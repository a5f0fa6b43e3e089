"""Formats of data files, one module each; they plug in by the entry points `replay.formats`.

May not live here: any format, and the base of all of them (replay.feeds.format).
"""
