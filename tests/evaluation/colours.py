"""A benchmark of the tests' own, small enough to be counted by hand, and judges and image models that do as they are told."""

import json

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from gems.errors import BenchmarkError, ImageModelError
from gems.evaluation.benchmarks.base import Benchmark, ImportedScores, JudgeQuestion, Metric, Sample
from gems.evaluation.benchmarks.registry import REGISTRY, find_benchmark
from gems.evaluation.official_layouts import write_file
from gems.evaluation.run_records import CheckSummary, SampleRecord
from gems.memory.state import ImageRef

from ..conftest import Sketcher

WITH_EXPORT = [name for name in REGISTRY if type(find_benchmark(name)).export is not Benchmark.export]
"""Benchmarks whose images are laid out for an official scorer."""

COLOURS = ("red", "blue", "green", "yellow", "purple", "orange")


class Colours(Benchmark):
    """Is there a circle, and is it of its colour? Two questions a prompt; `secret` is asked too, and never drawn."""

    name = "colours"
    title = "Colours"
    official_judge = "Eyes-8B"
    judges = ("perception", "chat")
    remarks = ("A benchmark of the tests.",)

    def __init__(self, n=4, secret=None, per_prompt=1):
        self.n, self.secret, self.images_per_prompt = n, secret, per_prompt

    def read(self, files):
        return [self._sample(k) for k in range(self.n)]

    def _sample(self, k):
        colour = COLOURS[k % len(COLOURS)]
        asks = [["Are there any circles in the image?", "yes"], [f"Is the circle {colour}?", "yes"]]
        asks += [[self.secret, "yes"]] if self.secret else []
        return Sample(id=f"c{k:02d}", prompt=f"a {colour} circle", group="warm" if colour in ("red", "orange") else "cold",
                      truth={"asks": asks})  # fmt: skip

    def questions(self, sample):
        return [JudgeQuestion(key=str(n), text=f"{text} Answer in one word.") for n, (text, _) in enumerate(sample.truth["asks"])]

    def score(self, sample, answers):
        right = [float(bool(answers.get(str(n))) and answers[str(n)][0].text.lower().startswith(expected))
                 for n, (_, expected) in enumerate(sample.truth["asks"])]  # fmt: skip
        return {"share": sum(right) / len(right)}

    def metrics(self, samples):
        groups = sorted({s.group for s in samples})
        parts = [Metric(f"share {g}", g, lambda d, g=g: 100 * d.mean("share", g), part="Share by warmth") for g in groups]
        return [Metric("share", "Share right", lambda d: 100 * d.mean("share")), *parts]

    def export(self, folder, pictures):
        missing = 0
        for picture in pictures:
            if picture.data is None:
                missing += 1
            else:
                write_file(folder / f"{picture.sample.id}-{picture.index}.png", picture.data)
        return [f"{missing} images are missing"] if missing else []

    def imported(self, path, samples):
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            raise BenchmarkError(f"{path}: this is no result file of Colours") from error
        return [ImportedScores(id, None, {"share": share}) for id, share in found.items()]


class Says(BaseChatModel):
    """A chat model that sees nothing and says one thing; `asked` holds what it was asked."""

    says: str = "yes"
    asked: list = []

    @property
    def _llm_type(self):
        return "says"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.asked.append(messages[-1].content[-1]["text"])
        message = AIMessage(self.says, usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2})
        return ChatResult(generations=[ChatGeneration(message=message)])


class Breaking(Sketcher):
    """Draws without a mistake; fails on prompts with one of the words, and on everything from the `lasts`-th picture on."""

    name = "breaking"

    def __init__(self, *words, lasts=10**9, **options):
        super().__init__(**{"mistakes": 0.0, **options})
        self.words, self.lasts = words, lasts

    def generate(self, requests):
        if len(self.made) >= self.lasts or any(word in r.prompt for r in requests for word in self.words):
            raise ImageModelError("the image model is gone: start it again")
        return super().generate(requests)


def record(id="c00", variant="original", index=0, image="a", **more):
    """A record; `image` is a letter that its hash is made of, or None for a run that failed."""
    ref = None if image is None else ImageRef(sha256=image * 64, width=8, height=8)
    told = {"decision": "accept", "checks": CheckSummary(total=2, passed=2, gm=1, am=1)} if image else {"error": "it failed"}
    return SampleRecord(
        **{"id": id, "prompt": f"prompt {id}", "variant": variant, "index": index, "seed": 0, "image": ref, **told, **more}
    )


def records_in(folder):
    """Return the lines of all records in a folder."""
    lines = [line for path in sorted(folder.glob("samples*.jsonl")) for line in path.read_text().splitlines()]
    return [SampleRecord.model_validate_json(line) for line in lines]


def timeless(study_result):
    """Return what was found, without the seconds."""
    return [r.model_dump(exclude={"seconds"}) for r in study_result.results]
