"""The disk of the pipeline, by its old name: it lives in replay.disk, since dead letters, which are no pipeline, use it.

May not live here: anything else.
"""

from replay.disk import NO_SPACE, Disk, disk_error

__all__ = ["NO_SPACE", "Disk", "disk_error"]
