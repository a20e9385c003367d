"""The base of every error that is meant for people."""


class GemsError(Exception):
    """Something is wrong that its reader can put right: the message is one line that says what, and what to do."""
