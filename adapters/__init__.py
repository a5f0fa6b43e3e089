"""Feeds and sinks, one module or folder per format or venue; they plug in by the entry points `replay.feeds`.

May not live here: a second way to import them. They are `replay.adapters...`; two copies of a class would not agree.
"""

if __name__ != "replay.adapters":
    raise ImportError(f"import replay.adapters, not {__name__}: two copies of a class would not agree", name=__name__)

from replay.adapters.registry import feed_names, open_feed

__all__ = ["feed_names", "open_feed"]
