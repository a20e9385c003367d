"""How things are stored: the checkpoint databases (SQLite, PostgreSQL), the image store, the workspace, locks."""
