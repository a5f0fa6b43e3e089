"""Feeds: batches of records with cursors, tapes, the merge of several, and the rows that gave no record.

May not live here: a format or a venue (adapters).
"""
