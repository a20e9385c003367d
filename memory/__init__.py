"""What the agent knows: the state of a run, the kinds of checks, what the refiner is shown, and the lessons that runs share.

LangGraph checkpoints the state after every step. The checkpointers for SQLite and PostgreSQL are in `gems.storage`, and so
is the image store: the state holds images by their hashes only.
"""
