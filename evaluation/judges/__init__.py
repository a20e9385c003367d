"""Judges: who answers a benchmark's questions about an image, how they are asked, and the log of their answers."""
