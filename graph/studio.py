"""The graph that LangGraph Studio serves: without a checkpointer, since the server brings its own."""

from .build import build_graph

graph = build_graph()
