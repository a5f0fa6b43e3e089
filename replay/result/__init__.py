"""What a run came to: its event log as tables, its result, the text of one event.

May not live here: statistics (replay.stats), or anything that a running pipeline needs to decide.
"""
