"""The graph: its nodes and edges, and the front doors to it."""
