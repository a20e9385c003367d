"""Benchmarks, scorers, runners and tables."""
