"""`python -m walnats_anyio`, which is the same as the command `walnats-anyio`."""

from __future__ import annotations

from walnats_anyio.cli import main

if __name__ == "__main__":
    main()
