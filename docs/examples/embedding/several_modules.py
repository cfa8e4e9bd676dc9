"""Actors of several modules in one process; with names as arguments, only those."""

import logging
import sys

import billing
import shipping
import walnats_anyio as walnats

ACTORS = walnats.Actors(*billing.ACTORS, *shipping.ACTORS)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    ACTORS.run(actors=sys.argv[1:] or None)
