"""The Ray engine, on a real cluster of two nodes on this machine. What is wanted of it: the local engine's records, once each."""

import functools
import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from gems.errors import ClusterError, LostImageError, SettingError, StudyError
from gems.evaluation import ray_engine as under_test
from gems.evaluation.benchmarks.registry import find_benchmark
from gems.evaluation.ray_engine import ray_engine
from gems.evaluation.run_records import read_records
from gems.evaluation.runner import StudyProgress
from gems.evaluation.variants import load_variant, make_variants
from gems.models.image.base import ImageModel
from gems.models.options import ImageOptions
from gems.models.shapes import shapes_image
from gems.storage.image_store import ImageStore
from gems.tests.conftest import Sketcher

from .small_studies import compare, plan, run_study

pytest.importorskip("ray", reason="the extra ray is not installed")

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""Ray leaves sockets and processes to be collected; its workers take ten seconds each to begin on a busy machine."""


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes. The first has the driver; a test may kill the second."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    sooner = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}
    head = {"num_cpus": 2, "include_dashboard": False, "_system_config": sooner}  # Ray keeps so many idle workers as cores
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        made.second = made.add_node(num_cpus=2)
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        for kind in (Noted, Sketcher):  # sent whole: workers cannot import tests
            ray.cloudpickle.register_pickle_by_value(sys.modules[kind.__module__])
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def noted(folder, seconds=0.0, broken="", lost=""):
    """Return the sketcher that takes so long, and notes each picture with the node where it is drawn.

    It refuses prompts with the text `broken`, and takes its process down at the first one with the text `lost`.
    """
    Path(folder).mkdir(exist_ok=True)
    return Noted(Path(folder), seconds, broken, lost)


class Noted(Sketcher):
    name = "noted"

    def __init__(self, folder, seconds, broken, lost):
        super().__init__(seconds=seconds)
        self.folder, self.broken, self.lost = folder, broken, lost

    def _draw(self, request):
        import ray

        where = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
        (self.folder / uuid.uuid4().hex).write_text(where)
        if self.broken and self.broken in request.prompt:
            raise ValueError("the paint is dry")
        mark = self.folder / "lost"
        if self.lost and self.lost in request.prompt and not mark.exists():
            mark.touch()
            os._exit(1)
        return super()._draw(request)


def drawn(folder):
    """Return how many pictures were drawn on each node."""
    return Counter(path.read_text().split()[0] for path in Path(folder).iterdir() if path.name != "lost")


CHEAP = {"chat": "random", "image": "card"}
"""Models that take no time to load: each worker is a process of its own."""


def planned(image, presets=("original", "loop"), limit=6, chat="shapes"):
    bench = find_benchmark("shapes")
    return plan(bench, make_variants(presets), limit=limit, chat=chat, image=image)


def with_ray(decided, folder, store=None, **options):
    return run_study(decided, folder, engine=ray_engine(**{"painters": 2, "concurrency": 2, **options}), store=store)


def alike(folder):
    """Return the records of a study, but for the time they took, and see that each was written once."""
    lines = (folder / "samples.jsonl").read_text().splitlines()
    records = read_records(folder)
    assert len(lines) == len(records)
    return {key: record.model_copy(update={"seconds": 0.0}) for key, record in records.items()}


def test_what_fails_is_a_record_and_a_lost_painter_is_replaced(cluster, tmp_path):
    samples = find_benchmark("shapes").read({})
    prompts = [sample.prompt for sample in (samples[0], samples[100])]
    decided = planned(noted(tmp_path / "drawn", broken=prompts[0], lost=prompts[1]), presets=["original"], limit=2)

    class Shared(ImageStore):  # as an object store is: the workers write into it, and hand over nothing
        is_shared = True

        def put_bytes(self, *args):
            raise AssertionError("the driver has nothing to keep")

    store = Shared(tmp_path / "shared")
    with_ray(decided, tmp_path / "ray", store=store, painters=1, concurrency=1)
    first, second = alike(tmp_path / "ray").values()
    assert (first.image, first.error) == (None, "ValueError: the paint is dry")
    assert not second.error
    assert (tmp_path / "drawn" / "lost").exists()
    assert store.read(second.image)
    assert not (tmp_path / "ray" / "images").exists()


def test_swapped_nodes_go_to_the_workers(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "nodes_of_ray.py").write_text(
        "from gems import Verdict\nfrom gems.evaluation import Variant\n\n"
        "def verdicts(state):\n    return [Verdict(check=check.id, passed=True) for check in state.checks]\n\n"
        "def yes(state):\n    return {'attempts': [attempt.judged(verdicts(state)) for attempt in state.pending]}\n\n"
        "variant = Variant('yes', nodes={'verifier': yes})\n"
    )
    with_ray(plan("shapes", [load_variant("nodes_of_ray:variant")], limit=1, **CHEAP), tmp_path / "ray", painters=1)
    (only,) = alike(tmp_path / "ray").values()
    assert (only.variant, only.decision) == ("yes", "accept")


def test_what_on_record_raises_ends_it(cluster, tmp_path):
    decided = planned(noted(tmp_path / "drawn", broken=" "), presets=["original"], limit=4)
    with pytest.raises(StudyError, match="2 runs in a row have failed, the last one so: ValueError: the paint is dry"):
        run_study(decided, tmp_path / "ray", engine=ray_engine(concurrency=2), max_failures=2)
    assert len(read_records(tmp_path / "ray")) == 2


def test_ctrl_c_leaves_a_folder_that_both_engines_go_on_with_to_the_same_records_and_images(cluster, tmp_path):
    study = tmp_path / "study"
    command = ["eval", "shapes", "--presets", "original,loop", "--limit", "16", "--image", "card", "--out", str(study)]
    gems = subprocess.Popen(
        [sys.executable, "-m", "gems.cli", *command, "--engine", "ray", "--address", cluster.address],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background SIGINT is ignored, and so it would be here.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        until = time.monotonic() + 120
        while not ((study / "samples.jsonl").exists() and (study / "samples.jsonl").read_text()):
            assert gems.poll() is None, gems.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.01)
        os.killpg(gems.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
        _, said = gems.communicate(timeout=60)
    finally:
        if gems.poll() is None:
            gems.kill()
    assert gems.returncode == 130, said
    stopped = alike(study)
    assert 0 < len(stopped) < 32
    kept = (study / "samples.jsonl").read_bytes()

    named = {"limit": 16, "out": study, **CHEAP}
    stop = threading.Event()
    compare(make_variants(["original", "loop"]), **named, progress=StudyProgress(done=lambda record: stop.set()), stop=stop)
    between = alike(study)
    assert len(stopped) < len(between) < 32
    done = compare(make_variants(["original", "loop"]), **named, engine=ray_engine())
    assert done.reused == len(between)
    assert (study / "samples.jsonl").read_bytes().startswith(kept)
    compare(make_variants(["original", "loop"]), **{**named, "out": tmp_path / "local"})
    local = alike(tmp_path / "local")
    assert len(local) == 32
    assert alike(study) == local
    for record in local.values():  # byte for byte
        assert (study / record.path).read_bytes() == (tmp_path / "local" / record.path).read_bytes()


def test_a_killed_node_loses_and_doubles_nothing(cluster, tmp_path):
    decided = planned(noted(tmp_path / "drawn", seconds=0.3), limit=8)
    second = cluster.second.node_id
    records, killed = [], []

    def kill(record):
        records.append(record)
        if len(records) >= 4 and not killed and drawn(tmp_path / "drawn")[second]:
            killed.append(len(records))
            cluster.remove_node(cluster.second, allow_graceful=False)

    engine = ray_engine(painters=4, concurrency=4)  # so that both nodes have some
    run_study(decided, tmp_path / "ray", engine=engine, progress=StudyProgress(done=kill))
    assert killed
    assert killed[0] < 16
    assert len(drawn(tmp_path / "drawn")) == 2  # both had painted
    assert Counter(record.key for record in records).most_common(1)[0][1] == 1
    local = planned(noted(tmp_path / "alone"), limit=8)
    run_study(local, tmp_path / "local", concurrency=4)
    assert alike(tmp_path / "ray") == alike(tmp_path / "local")


def test_more_than_the_cluster_has(cluster, tmp_path):
    decided = planned(**CHEAP, presets=["original"], limit=1)
    wanted = r"only 0 of them began within 1 seconds. 2 painters want 0.5 GPUs each, 1 together: the cluster has 0 GPUs"
    with pytest.raises(ClusterError, match=wanted):
        with_ray(decided, tmp_path, gpus=0.5, patience=1)


def test_models_that_cannot_be_made_there(cluster, tmp_path):
    class Held(ImageModel):
        name = "held"
        lock = threading.Lock()

        def generate(self, requests):
            return shapes_image().generate(requests)

    with pytest.raises(ClusterError, match=r"the image model cannot be sent to the workers .* name a model by its spec"):
        with_ray(planned(Held(), limit=1), tmp_path / "a")
    changed = planned(**CHEAP, limit=1)
    changed = changed._replace(study=changed.study.model_copy(update={"code": "another"}))
    with pytest.raises(ClusterError, match="has other code of gems than this one: install the same on all"):
        with_ray(changed, tmp_path / "b")


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r'Ray is not installed: pip install -c constraints.txt -e "\.\[ray\]"'):
        ray_engine()
    importlib.import_module("gems.evaluation.ray_engine")  # asks for no Ray itself


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gpus": 1.5}, "a whole number of GPUs, or a part of one"),
        ({"gpus": -1}, "a whole number of GPUs"),
        ({"painters": 0}, "at least 1"),
        ({"address": "ray://head:10001"}, "write HOST:PORT, or auto"),
    ],
)
def test_values_of_no_use(options, said):
    with pytest.raises(SettingError, match=said):
        ray_engine(**options)


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [("127.0.0.1:1", ClusterError, "no Ray cluster answers at 127.0.0.1:1"), ("head", SettingError, "write HOST:PORT")],
)
def test_a_cluster_that_is_not_there(address, error, said):
    with pytest.raises(error, match=said):
        under_test._require_reachable(address)


def test_a_folder_is_named_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert under_test._with_absolute_path("diffusers:./model").model == f"diffusers:{tmp_path}/model"
    assert under_test._with_absolute_path("diffusers:owner/name") == ImageOptions(model="diffusers:owner/name")


def test_a_picture_is_kept_byte_by_byte(tmp_path):
    from PIL import Image

    one, other = ImageStore(tmp_path / "one"), ImageStore(tmp_path / "other")
    ref = one.put(Image.new("RGB", (8, 8)), {"prompt": "nothing"})
    other.put_bytes(ref, one.read(ref))
    assert other.read(ref) == one.read(ref)
    assert other.claimed() == {ref.sha256}
    with pytest.raises(LostImageError, match="came damaged"):
        other.put_bytes(ref, b"nothing")
    assert not other.is_shared
    assert not ImageStore("memory://images").is_shared


def test_an_object_store_is_sent_to_the_workers():
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    store = ImageStore("s3://bucket/images")
    assert store.is_shared
    assert pickle.loads(pickle.dumps(store)).url == "s3://bucket/images"
