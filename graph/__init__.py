"""The graph: its nodes and edges, the routing between them, the events of its nodes."""
