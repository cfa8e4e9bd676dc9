"""Benchmarks of walnats-anyio and its peers, doing the same work in the same run.

``python -m benchmarks --help`` says how to run them, ``docs/benchmarks.md`` what they measure.
"""
