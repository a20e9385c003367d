"""Image models: the interface (`base.py`), diffusers pipelines, and backends behind HTTP APIs (`http_image.py`, `images_api.py`).

The specs that choose one are in `models/backends.py`.
"""
