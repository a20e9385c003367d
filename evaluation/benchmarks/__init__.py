"""The benchmarks: a file for each, or for several of one format. `evaluation.catalogue` finds them."""
