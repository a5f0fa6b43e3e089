"""The shell around the engine: from a feed to the sinks, at some pace, until it is stopped.

May not live here: a branch on the mode, or what a record does.
"""
