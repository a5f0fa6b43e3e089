"""Example strategies, readable as documentation; they import nothing but the public API of `replay`.

May not live here: a second way to import them. They are `replay.strategies...`; two copies of a class would not agree.
"""

if __name__ != "replay.strategies":
    raise ImportError(f"import replay.strategies, not {__name__}: two copies of a class would not agree", name=__name__)
