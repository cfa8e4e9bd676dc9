"""One module for each library measured; each run of it is a fresh process.

A worker is told what to do by one JSON object on its command line, and answers with one line of
JSON on standard output. ``_job`` holds both, ``_measure`` the clocks, the other modules the work.
"""
