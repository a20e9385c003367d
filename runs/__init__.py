"""The life of a run: start, execute, resume, fork, list, prune, and its result."""
