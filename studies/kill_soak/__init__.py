"""Whether anything is lost when processes are killed: `python -m studies.kill_soak [--kills 200] [--stores sqlite,postgresql]`.

Several processes work on the runs of one database; again and again one of them is killed (SIGKILL), at a random moment or right
after one of the first checkpoints of a run, and another one takes its place. At the end every run is compared with one of the
same settings that nobody killed: its state, all its checkpoints, its pictures. The image model is a small painter that writes
down what it makes, so that a picture that was made twice is seen. Exit code 1 if anything was lost, made twice or differs. Run
from the root of the repository.
"""
