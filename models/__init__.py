"""Chat models and image models: by spec, behind endpoints, in this process, and the embedded pair."""
