"""What `langgraph dev` serves: the graphs, their runs and lessons, pictures and pages by URL; see docs/studio.md."""
