"""Whether this code gives the results of other code: `python -m studies.same_results (--write FILE | --against FILE) [--limit 60]`.

Every preset takes the same prompts of `gems eval shapes`, in a temporary folder. For each preset and prompt the table has the
SHA-256 of the best image's RGB pixels, the images and chat calls that it took, and its scores. With `--write` it is written as CSV;
with `--against` it is compared with one that was written before, row by row, and the exit code is 1 where a row differs. A prompt's
seeds are those of its place among the prompts: tables of another `--limit` differ, those of a `--shard` do not. Only the command
`gems` and the files of its studies are used, so that the same command runs on old and new code: it takes the `gems` that is
installed. Run from the root of the repository.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

PRESETS = ("original", "rewrite", "best-of-n", "loop", "loop-memory", "paper", "default", "thorough")


class Row(NamedTuple):
    """What a preset reached on a prompt, as the table has it."""

    preset: str
    prompt: str
    pixels: str
    images: str
    calls: str
    gm: str
    am: str

    @property
    def key(self) -> tuple[str, str]:
        """What no two rows of a table share."""
        return (self.preset, self.prompt)


def arguments(folder: Path, limit: int, presets: Sequence[str], shard: str | None = None) -> list[str]:
    """Return the arguments of `gems` for the study whose results are compared, or for a shard of it such as `1/20`."""
    part = [] if shard is None else ["--shard", shard]
    return ["eval", "shapes", "--limit", str(limit), "--presets", ",".join(presets), "--out", str(folder), *part]


def rows_of(folder: Path) -> list[Row]:
    """Read the files of a study.

    Args:
        folder: of a study of shapes that is finished, or a shard of it, with its images.
    """
    scores = json.loads(next(folder.glob("scores-*.json")).read_text("utf-8"))["rows"]
    means = {(variant, prompt): values for variant, prompt, _, _, values, *_ in scores}
    found = []
    lines = [line for path in folder.glob("samples*.jsonl") for line in path.read_text("utf-8").splitlines()]
    for record in map(json.loads, lines):
        scored = means[record["variant"], record["id"]]
        with Image.open(folder / record["path"]) as image:
            pixels = hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()
        gm, am = (f"{scored[name]:.6f}" for name in ("gm", "am"))
        found.append(Row(record["variant"], record["id"], pixels, str(record["images"]), str(record["calls"]), gm, am))
    return sorted(found)


def read(path: Path) -> list[Row]:
    """Read a table that was written before."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Row(**row) for row in csv.DictReader(file)]


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([Row._fields, *rows])


def differences(before: Iterable[Row], now: Iterable[Row]) -> list[str]:
    """Say of each row of now in what it is not as before."""
    known = {row.key: row for row in before}
    said = []
    for row in now:
        name, old = f"{row.preset}, {row.prompt}", known.get(row.key)
        if old is None:
            said.append(f"{name}: no such row before")
        else:
            values = zip(Row._fields, old, row, strict=True)
            said += [f"{name}: {column} was {was}, is {is_now}" for column, was, is_now in values if was != is_now]
    return said


def main() -> None:
    """Run the study, and write its table or compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="FILE", help="write the table here")
    what.add_argument("--against", type=Path, metavar="FILE", help="compare with this table")
    parser.add_argument("--limit", type=int, default=60, help="prompts, spread evenly over the benchmark")
    parser.add_argument("--presets", default=",".join(PRESETS), help="with commas")
    parser.add_argument("--shard", help="only a part of the prompts, such as 1/20")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        command = [sys.executable, "-m", "gems", *arguments(study, options.limit, options.presets.split(","), options.shard)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows = rows_of(study)
    if options.write is not None:
        write(options.write, rows)
        parser.exit(0, f"{len(rows)} rows: {options.write}\n")
    differ = differences(read(options.against), rows)
    same = len(rows) - len({line.partition(": ")[0] for line in differ})
    parser.exit(1 if differ else 0, "\n".join([*differ, f"{same} of {len(rows)} rows are the same", ""]))


if __name__ == "__main__":
    main()
