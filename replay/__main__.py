"""`python -m replay` is the command `replay`.

Nothing else may live here.
"""

from __future__ import annotations

from replay.cli import main

if __name__ == "__main__":
    main()
