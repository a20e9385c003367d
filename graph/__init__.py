"""The graph: its nodes and edges, the routing between them, the events that its nodes emit."""
