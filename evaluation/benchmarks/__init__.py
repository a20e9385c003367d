"""The benchmarks: a file for each, or for several of one format; `base.py` says what a benchmark is.

To add one, write a file here and its line in `registry.py`.
"""
