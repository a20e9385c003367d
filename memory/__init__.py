"""What the loop knows: the state, the image store, the checkpoints, and what the refiner is shown."""
