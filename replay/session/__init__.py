"""A paper session on disk: its folder, its journal, and the disk operations under them.

May not live here: what a record does; a session only keeps and runs again what was admitted.
"""
