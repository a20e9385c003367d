"""Checks: how answers are compared, how an image is verified, checkers in code."""
