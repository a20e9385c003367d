"""The two kinds of model: chat and image."""
