"""The roles, one file each: prompt, schema of the answer, pure `render` and `parse`, and the node."""
