"""The commands of `gems`, one module per group; `cli.py` registers them."""
