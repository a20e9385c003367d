"""The training of the embedded image model: `python -m studies.shapes_training.train --out DIR`."""
