"""Image models: the interface, diffusers pipelines, endpoints."""
