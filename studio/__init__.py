"""What `langgraph dev` serves: the graphs, their runs and lessons, images and pages by URL; see docs/studio.md."""
