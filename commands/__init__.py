"""The commands of `gems`, a file for each group; `cli.py` puts them together."""
