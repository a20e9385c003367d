"""Image models: the interface (`base.py`), diffusers pipelines, and servers of the images API (`images_api*.py`).

The specs that choose one are in `models/registry.py`.
"""
