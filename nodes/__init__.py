"""The roles, one file each."""
