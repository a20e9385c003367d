"""Device, number format and offloading of a pipeline, and the lock around loading."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from ...errors import ImageModelError

Offload = Literal["none", "model", "sequential", "group"]
OFFLOADS: tuple[Offload, ...] = ("none", "model", "sequential", "group")
DTYPES = ("float32", "bfloat16", "float16")


class LoadLock:
    """A lock for this process: one thread loads a model, or any number of threads generate.

    While weights are loaded, diffusers, transformers and accelerate change global state: torch's default number format, and
    where modules keep their parameters. Two concurrent loads leave it changed, and an image generated meanwhile could be
    computed in another number format.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Release the lock, in a forked process: its owners are threads of the parent."""
        self._changed = threading.Condition(threading.RLock())  # held while a model is loaded
        self._generating = self._waiting = 0

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Wait until no other thread loads or generates, and block both. Reentrant."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._generating)
            finally:
                self._waiting -= 1
                self._changed.notify_all()
            yield

    @contextmanager
    def generating(self) -> Iterator[None]:
        """Wait until no thread loads or waits to load, and block loads."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._generating += 1
        try:
            yield
        finally:
            with self._changed:
                self._generating -= 1
                self._changed.notify_all()


LOAD_LOCK = LoadLock()
"""The lock of this process."""

os.register_at_fork(after_in_child=LOAD_LOCK.reset)


def best_device() -> str:
    """Return the type of the accelerator, such as cuda (also ROCm), xpu or mps; cpu where there is none."""
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator.type if accelerator else "cpu"


def best_dtype(device: str) -> str:
    """Return the number format of published weights, or the next best one that a device supports."""
    import torch

    match device.partition(":")[0]:
        case "cpu":
            return "float32"
        case "cuda" if not torch.cuda.is_bf16_supported(including_emulation=False):
            return "float16"
        case "mps" if not torch.backends.mps.is_macos_or_newer(14, 0):
            return "float16"
    return "bfloat16"


def move_to_device(pipeline: Any, device: str, offload: Offload) -> None:
    """Move a pipeline to a device, or set up its offloading.

    Raises:
        ImageModelError: offloading is set for a CPU.
    """
    import torch

    if offload == "none":
        pipeline.to(device)
        return
    if device.partition(":")[0] == "cpu":
        raise ImageModelError(
            f"offload {offload!r} moves weights between a GPU and main memory, and this model runs on the CPU: "
            "leave offload at 'none', or name the GPU as its device"
        )
    match offload:
        case "model":
            pipeline.enable_model_cpu_offload(device=device)
        case "sequential":
            pipeline.enable_sequential_cpu_offload(device=device)
        case "group":
            # Layer by layer, copied ahead on a stream of its own: as little memory as sequential, in nearly the time of none.
            stream = device.startswith("cuda")
            pipeline.enable_group_offload(torch.device(device), offload_type="leaf_level", use_stream=stream)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that device memory or main memory is used up."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    message = str(error).lower()  # the CPU's allocator, and libraries such as cuBLAS, raise a plain RuntimeError
    signs = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
    return isinstance(error, RuntimeError) and any(sign in message for sign in signs)


def free_memory() -> None:
    """Return the memory that torch caches to the device."""
    import gc

    import torch

    gc.collect()
    for backend in (torch.cuda, torch.xpu):
        if backend.is_available():
            backend.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
