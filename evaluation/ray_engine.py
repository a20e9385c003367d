"""Engine for many machines: image models in Ray actors, prompts as Ray tasks. Only this process writes into the folder."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ClusterError, SettingError
from ..models.image.base import ImageModel
from ..models.options import ImageOptions
from ..models.registry import ImageChoice
from ..storage.image_store import ImageStore
from .engine import Engine, Job
from .run_records import SampleRecord
from .runner import StudyPlan
from .source_digest import is_own
from .variants import Variant

if TYPE_CHECKING:
    from .ray_image_worker import ModelInfo, WorkerSetup

START_TIMEOUT = 120.0
"""Seconds until all image actors must have started; loading weights comes later."""

PROMPT_CPUS = 0.25
"""Share of a core that Ray reserves for a prompt, which mostly waits for models."""

RETRIES = 5
"""Retries by Ray of a prompt whose worker or machine was lost. After that it counts as failed."""

RAY_MISSING = 'Ray is not installed: pip install -c constraints.txt -e ".[ray]"'


def ray_engine(
    *, address: str | None = None, painters: int = 1, gpus: float = 0, concurrency: int = 1, patience: float = START_TIMEOUT
) -> Callable[[StudyPlan, ImageStore], Engine]:
    """Return a builder of a `RayEngine` for a study.

    Args:
        address: of a cluster, `HOST:PORT` or `auto` for the one that this machine is part of; None: one on this machine for
            as long as the study runs. Where Ray was started in this process already, that one is used.
        painters: image models at the same time, each in an actor of its own.
        gpus: of each of them: a whole number, or a part of one.
        concurrency: prompts at the same time.
        patience: seconds until all image actors must have started.

    Raises:
        ClusterError: Ray is not installed.
        SettingError: a value is of no use.
    """
    if painters < 1 or concurrency < 1:
        raise SettingError("--painters and --concurrency are at least 1")
    if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise SettingError(f"--gpus {gpus:g}: a painter has a whole number of GPUs, or a part of one such as 0.5")
    if address is not None and "://" in address:
        raise SettingError(f"--address {address}: write HOST:PORT, or auto, and start gems on a machine of the cluster")
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise ClusterError(RAY_MISSING) from error
    return lambda plan, store: RayEngine(plan, store, address, painters, gpus, concurrency, patience)


def _send_own_code(variants: Sequence[Variant]) -> None:
    """Have the modules of swapped nodes, checkers and models sent along: another machine may not have them."""
    import ray

    for variant in variants:
        nodes = [variant.nodes] if callable(variant.nodes) else variant.nodes.values()
        for thing in (*nodes, *(variant.checkers or ()), *variant.models.values()):
            name = getattr(thing, "__module__", None) or type(thing).__module__
            if is_own(name) and name != "__main__" and name in sys.modules:
                ray.cloudpickle.register_pickle_by_value(sys.modules[name])  # how Ray sends it; GEMS reads no pickle


class _RunningJob(NamedTuple):
    """A job that a worker is running."""

    job: Job
    painter: int
    done: list[str]
    """Names of the variants that have their record."""


class RayEngine(Engine):
    """Workers of a Ray cluster. Make it with `ray_engine`.

    A worker runs all variants of a item and hands each record over as soon as it is there, with the PNG of its image. What is
    lost with a worker or a machine is run again from the item's first variant: with the same seeds it comes to the same, and
    what was handed over before is not taken twice.
    """

    def __init__(
        self, plan: StudyPlan, store: ImageStore, address: str | None, painters: int, gpus: float, concurrency: int, patience: float
    ) -> None:
        self._plan, self._store, self._address = plan, store, address
        self._painters, self._gpus, self._concurrency, self._patience = painters, gpus, concurrency, patience

    def run(self, jobs: Sequence[Job], on_record: Callable[[SampleRecord], None], stop: threading.Event) -> None:
        """Run all jobs. Records are given from one thread.

        Raises:
            SettingError: a variant has an image model of its own.
            ClusterError: the cluster cannot be reached, has too little, or has other code of gems.
            GemsError: a worker cannot make a model.
        """
        if own_image := [v.name for v in self._plan.variants if "image" in v.models]:
            raise SettingError(
                f"{own_image[0]}: the image models of a Ray cluster are the same for all variants: make it a study alone"
            )
        with _ray_connection(self._address) as own, self._actors(own) as (actors, about):
            ended, left = threading.Event(), threading.Event()
            pool = ThreadPoolExecutor(1)  # a thread that Ctrl-C does not reach, so that no record is torn
            task = pool.submit(self._loop, jobs, on_record, actors, about, lambda: ended.is_set() or stop.is_set(), left)
            try:
                task.result()
            finally:
                ended.set()
                try:
                    wait([task])
                finally:  # Ctrl-C again: the thread is gone before Ray is, which it would start anew
                    left.set()
                    pool.shutdown(wait=True)

    def _loop(
        self,
        jobs: Sequence[Job],
        on_record: Callable[[SampleRecord], None],
        actors: Sequence[Any],
        about: ModelInfo,
        ending: Callable[[], bool],
        left: threading.Event,
    ) -> None:
        import ray

        from .ray_image_worker import run_job

        task = ray.remote(run_job).options(
            num_cpus=PROMPT_CPUS, max_retries=RETRIES, num_returns="streaming", scheduling_strategy="SPREAD"
        )
        _send_own_code(self._plan.variants)
        (setup,) = _put_in_ray(self._setup(actors, about), "swapped nodes")
        waiting = deque(jobs)
        under_way: dict[Any, _RunningJob] = {}
        try:
            while not left.is_set() and (under_way or (waiting and not ending())):
                while waiting and len(under_way) < self._concurrency and not ending():
                    busy = [one.painter for one in under_way.values()]
                    idlest = min(range(len(actors)), key=busy.count)
                    job = waiting.popleft()
                    names = tuple(variant.name for variant in job.variants)
                    under_way[task.remote(setup, job.item, names, idlest)] = _RunningJob(job, idlest, [])
                ready, _ = ray.wait(list(under_way), num_returns=1, timeout=0.5)
                for stream in ready:
                    records, more = self._take(stream, under_way[stream])
                    for record in records:
                        on_record(record)
                    if not more or ending():  # the run that was under way is written down, the job's others are not begun
                        del under_way[stream]
                        if more:
                            ray.cancel(stream, force=True)
        finally:
            for stream in under_way if ray.is_initialized() else ():
                ray.cancel(stream, force=True)

    def _take(self, stream: Any, running: _RunningJob) -> tuple[list[SampleRecord], bool]:
        """Return the records that a worker has ready, with their images in the store, and whether there may be more."""
        from ray.exceptions import RayError, RayTaskError

        from .ray_image_worker import get_result

        try:
            record, data = get_result(next(stream))
        except StopIteration:
            return [], False
        except RayTaskError:
            raise
        except RayError as error:  # lost too often
            left = [variant.name for variant in running.job.variants if variant.name not in running.done]
            return [_lost_record(running.job, name, error) for name in left], False
        if record.variant in running.done:
            return [], True
        if data is not None:
            self._store.put_bytes(record.image, data)
        running.done.append(record.variant)
        return [record], True

    def _setup(self, actors: Sequence[Any], about: ModelInfo) -> WorkerSetup:
        from .ray_image_worker import WorkerSetup

        plan = self._plan
        return WorkerSetup(
            id=uuid.uuid4().hex,
            code=plan.study.code,
            chat=_put_in_ray(plan.chat, "chat model"),
            variants={v.name: v for v in plan.variants},
            prices={v.name: plan.models_of(v).options for v in plan.variants},
            about=about,
            painters=tuple(actors),
            store=self._store if self._store.is_shared else None,
        )

    @contextlib.contextmanager
    def _actors(self, own: bool) -> Iterator[tuple[list[Any], ModelInfo]]:
        """Start the image actors, and end them; `own`: the cluster was started for this study."""
        import ray

        from .ray_image_worker import ImageModelActor

        self._require(ray.cluster_resources(), own)
        image = _put_in_ray(_with_absolute_path(self._plan.image), "image model")
        actor = ray.remote(ImageModelActor).options(
            num_cpus=0,
            num_gpus=self._gpus,
            max_restarts=-1,
            max_task_retries=0,  # see RemoteImageModel
            max_concurrency=min(256, self._concurrency * max(1, self._plan.models.image.parallel) + 2),
            scheduling_strategy="SPREAD",
        )
        actors: list[Any] = []
        try:
            actors += [actor.remote(image, self._plan.study.code) for _ in range(self._painters)]
            yield actors, self._ready(actors)
        finally:
            if ray.is_initialized():
                for handle in actors:
                    ray.kill(handle)

    def _require(self, has: dict[str, float], own: bool) -> None:
        """Refuse at once what a cluster of this machine alone cannot run, since no machine is added to it."""
        if own and has.get("GPU", 0) < self._painters * self._gpus:
            raise ClusterError(
                f"{self._wanted()}: {_describe_cluster(has)}. Lower --painters or --gpus, or name a cluster with --address"
            )
        if has.get("CPU", 0) < PROMPT_CPUS:
            raise ClusterError(
                f"a prompt wants {PROMPT_CPUS} of a core: {_describe_cluster(has)}. Start its machines with --num-cpus"
            )

    def _ready(self, actors: Sequence[Any]) -> ModelInfo:
        import ray
        from ray.exceptions import RayError

        from .ray_image_worker import get_result

        pending = [actor.about.remote() for actor in actors]
        done, late = ray.wait(pending, num_returns=len(pending), timeout=self._patience)
        try:
            infos = [get_result(ref) for ref in done]
        except RayError as error:
            raise ClusterError(f"a painter could not begin: {_first_line(error)}") from error
        if late:
            raise ClusterError(
                f"only {len(done)} of them began within {self._patience:.0f} seconds. {self._wanted()}: "
                f"{_describe_cluster(ray.cluster_resources())}. Lower --painters or --gpus, or add machines"
            )
        if not isinstance(self._plan.image, ImageModel):
            own = self._plan.models.image
            if other := [actor for actor in infos if (actor.name, actor.settings) != (own.name, own.settings)]:
                raise ClusterError(
                    f"a painter has another model {other[0].name!r} than this machine: its files differ; copy the same to all"
                )
        about: ModelInfo = infos[0]
        return about

    def _wanted(self) -> str:
        return f"{self._painters} painters want {self._gpus:g} GPUs each, {self._painters * self._gpus:g} together"


@contextlib.contextmanager
def _ray_connection(address: str | None) -> Iterator[bool]:
    """Connect to a cluster, or start one on this machine, unless Ray runs in this process; yield whether it was started here."""
    import ray

    if ray.is_initialized():
        yield False
        return
    if address not in (None, "auto"):
        _require_reachable(address)
    logging.getLogger("ray").setLevel(logging.ERROR)  # what it says at its start would stand among the progress bars
    only_own: dict[str, Any] = {"include_dashboard": False} if address is None else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what will be in later versions of Ray
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **only_own)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        if address is None:
            raise ClusterError(f"Ray does not start on this machine: {_first_line(error)}") from error
        raise _unreachable_error(address, error) from error
    try:
        yield address is None
    finally:
        ray.shutdown()


def _require_reachable(address: str) -> None:
    """Refuse an address without a listener at once: Ray would try it for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SettingError(f"--address {address}: write HOST:PORT, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _unreachable_error(address, error) from error


def _unreachable_error(address: str, error: Exception) -> ClusterError:
    return ClusterError(
        f"no Ray cluster answers at {address} ({_first_line(error)}): start one with `ray start --head`, or leave --address out"
    )


def _put_in_ray(choice: object, kind: str) -> list[Any]:
    """Hand models over to Ray, and return a list with the reference to them."""
    import ray

    try:
        return [ray.put(choice)]
    except Exception as error:  # whatever a model of one's own is made of
        raise ClusterError(
            f"the {kind} cannot be sent to the workers ({type(error).__name__}: {_first_line(error)}): name a model by its spec, "
            "or create what cannot be sent when it is first used"
        ) from error


def _with_absolute_path(choice: ImageChoice) -> ImageChoice:
    """Return an image model with the whole path of its folder: workers may be in another one."""
    options = ImageOptions(model=choice) if isinstance(choice, str) else choice
    if isinstance(options, ImageModel):
        return options
    scheme, _, name = options.model.partition(":")
    if scheme != "diffusers" or not name.startswith("."):
        return options
    return options.model_copy(update={"model": f"diffusers:{Path(name).resolve()}"})


def _lost_record(job: Job, variant: str, error: Exception) -> SampleRecord:
    item = job.item
    why = f"the worker was lost {RETRIES + 1} times ({_first_line(error)})"
    return SampleRecord(id=item.id, prompt=item.prompt, variant=variant, index=item.index, seed=item.seed, error=why)


def _describe_cluster(has: dict[str, float]) -> str:
    import ray

    machines = len([node for node in ray.nodes() if node["Alive"]])
    free = ray.available_resources()
    resources = " and ".join(f"{has.get(what, 0):g} {what}s ({free.get(what, 0):g} free)" for what in ("GPU", "CPU"))
    return f"the cluster has {resources} on {machines} machine{'s' if machines > 1 else ''}"


def _first_line(error: Exception) -> str:
    """Return the first line of an error of Ray, without its colours and advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")
