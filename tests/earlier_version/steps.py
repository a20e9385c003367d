"""What is done to stored runs and studies, by commands of `gems`, and what the commands write.

The same steps were done by the version that wrote the data (`write.py`) and are done by the tests, which compare the two.
Only the command line and files are used, so that modules may move.
"""

import contextlib
import csv
import functools
import io
import json
import lzma
import re
import shutil
import sys
import tarfile
from pathlib import Path
from unittest import mock

import typer

PROMPT = "three red circles above a blue square and to the left of a green star"
ACCEPT = json.dumps({"action": "accept", "words": "good enough"})
STUDY = ("--limit", "2", "--presets", "original,default")

RUN_STEPS = {
    "runs": "runs --json",
    **{f"show {name}": f"show {name} --json" for name in ("done", "taught", "waits", "cut", "failed", "branch")},
    "runs waiting": "runs --json --state waiting",
    "lessons list": "lessons list --json",
    "lessons show": "lessons show {lesson} --json",
    "lessons export": "lessons export -",
    "resume waits": f"resume waits --json --answer '{ACCEPT}'",
    "resume cut": "resume cut --json",
    "resume failed": "resume failed --json --chat shapes",
    "fork": f"fork done --round 2 --name fork --json --seed 5 --prompt '{PROMPT}'",
    "fork by verdict": "fork taught --round 2 --name verdict --json --verdict c1=fail --add-check 'Is the circle green?'",
    "run with lessons": f"run '{PROMPT}' --thread new --seed 1 --lessons read --json",
    "gallery": "gallery",
    "prune, dry": "prune --older-than 0h --keep-best --dry-run --json",
    "rm": "rm failed --json",
    "prune": "prune --older-than 0h --keep-best --json",
    "show pruned": "show done --json",
    "runs at the end": "runs --json",
}
"""Steps on the stored runs, in this order; each writes JSON, or lines of JSON, or text that is not compared."""

OTHER_STEPS = {
    "presets": "presets --json",
    "run, dry": f"run '{PROMPT}' --dry-run --json",
    "events": "run 'a red circle' --seed 1 --preset loop --thread events --runs other --events",
    "doctor": "doctor --no-draw --json",
    "eval table": "eval table finished --json table.json",
    "eval score": "eval score finished --json score.json",
    "eval": "eval shapes --limit 1 --presets original --out fresh",
    "eval, gone on with": "eval shapes --limit 2 --presets original,default --out begun --json begun.json",
}
"""Steps on the stored studies, and those that need nothing stored."""

STUDY_FILES = ("finished", "begun")
"""Folders of studies whose files are compared after the steps."""

TEXTS = {"about", "actions", "change", "failed", "notes", "remarks", "said", "told", "warnings"}
"""Keys of sentences for people, which may be worded anew; so may the reason of a decision."""

ON_POSTGRES = (
    *("runs", "show done", "show waits", "show cut", "show failed", "lessons list", "resume waits", "resume cut", "fork"),
    *("prune, dry", "rm", "prune", "show pruned", "runs at the end"),
)
"""Steps that are done in PostgreSQL too."""

CHANGING = {"seconds", "seconds_per_run", "last", "created", "updated", "at", "code", "versions", "database_bytes"}
"""Keys whose values are times, sizes, or depend on the code: that they are there is compared, their values are not.

So are rows of tables, and budgets, that one of these names names.
"""

RETIRED = {"noise_fp", "noise_fn"}
"""Settings that are none any more; see the README."""

KINDS = ("lessons list", "lessons show", "lessons export", "run, dry", "runs", "prune")
"""Kinds of output by the beginnings of steps; of the others the first word is the kind."""
ORDER = ("event", "role", "judge", "variant", "id", "sample", "key", "image", "rollout", "kind", "text")
"""Keys by which lines are sorted."""


def open_outputs():
    """Open what the steps gave when the data was written."""
    return lzma.open(Path(__file__).parent / "outputs.json.xz", "rt", encoding="utf-8")


def unpack(archive, folder):
    """Unpack what was stored into a new folder; return it."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    shutil.copytree(folder / "sqlite", folder / "postgres", dirs_exist_ok=True, ignore=shutil.ignore_patterns("gems.sqlite*"))
    return folder


def new_database(server, name, statements=""):
    """Make a database on a server of PostgreSQL, with what a dump says; return its URL."""
    import psycopg

    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(server.get_uri(name), autocommit=True) as connection:
        connection.execute(statements)
    return server.get_uri(name)


command_of = functools.cache(typer.main.get_command)
"""Typer makes all commands anew each time that one is run, which takes longer than most of the steps."""


def gems(*arguments):
    """Run a command in this process; return its exit code, standard output and standard error."""
    from gems import cli

    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["gems", *arguments]),
        mock.patch.object(typer.main, "get_command", command_of),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    return code, out.getvalue(), err.getvalue()


def words(line, **values):
    """Split a step's command line into arguments; a value in braces is filled in."""
    return [values.get(word[1:-1], word) if re.fullmatch(r"\{\w+\}", word) else word for word in split(line)]


def split(line):
    """Split at spaces outside of single quotes."""
    return [quoted or plain for quoted, plain in re.findall(r"'([^']*)'|(\S+)", line)]


def read(text):
    """Read what a command has written: JSON, lines of JSON, or text, of which nothing is returned."""
    with contextlib.suppress(ValueError):
        return json.loads(text)
    with contextlib.suppress(ValueError):
        return lines(text)
    return None


def lines(text):
    """Read lines of JSON; what threads have written side by side is brought into one order."""
    return sorted(map(json.loads, text.splitlines()), key=lambda line: str([line.get(key) for key in ORDER]))


def run_steps(*where, only=tuple(RUN_STEPS)):
    """Do the steps on stored runs in the working directory.

    Args:
        where: the options that say where the runs are.
        only: names of the steps that are done.

    Returns:
        By step its exit code, and what it wrote: to standard output, and as an error.
    """
    done, lesson = {}, ""
    for name in only:
        code, out, err = gems(*words(RUN_STEPS[name], lesson=lesson), *where)
        done[name] = {"code": code, "written": read(out), "error": err if code else ""}
        if name == "lessons list":
            lesson = done[name]["written"][0]["id"]
    return done


def other_steps():
    """Do the steps on stored studies, and those that need nothing stored, in the working directory."""
    done = {}
    for name, line in OTHER_STEPS.items():
        if name == "eval, gone on with":
            take_over(Path("begun"))
        if name == "eval score":
            for path in Path("finished").glob("answers-*.jsonl"):
                path.unlink()
        arguments = split(line)
        code, out, err = gems(*arguments)
        written = json.loads(Path(arguments[-1]).read_text("utf-8")) if arguments[-1].endswith(".json") and not code else read(out)
        done[name] = {"code": code, "written": written, "error": err if code else ""}
    for study in STUDY_FILES:
        for path in sorted(Path(study).iterdir()):
            if path.suffix in (".json", ".jsonl", ".csv"):
                done[f"{study}/{path.name}"] = {"code": 0, "written": contents(path), "error": ""}
    return done


def take_over(study):
    """Make a study that is not gone on with, as it is of other code and weights elsewhere, one of this code and these weights."""
    path, made = study / "study.json", json.loads(Path("fresh", "study.json").read_text("utf-8"))
    told = {**json.loads(path.read_text("utf-8")), "code": made["code"], "image": made["image"]}
    path.write_text(json.dumps(told), "utf-8")


def contents(path):
    """Return a file as JSON; a table of CSV as its rows by column."""
    text = path.read_text("utf-8")
    if path.suffix == ".jsonl":
        return lines(text)
    return list(csv.DictReader(io.StringIO(text))) if path.suffix == ".csv" else json.loads(text)


def keys(written, at=""):
    """Return the paths of all keys in JSON: `checks[].id`; where many things of one form have a name, `roles.*.calls`."""
    if isinstance(written, dict):
        parts = list(written.values())
        named = len(parts) > 1 and all(isinstance(part, dict) and part and part.keys() == parts[0].keys() for part in parts)
        below = [(f"{at}.*" if named else f"{at}.{key}", value) for key, value in written.items()]
        return {path for name, value in below for path in (name.lstrip("."), *keys(value, name))}
    return {path for value in written for path in keys(value, f"{at}[]")} if isinstance(written, list) else set()


def keys_by_kind(outputs):
    """Return the paths of all keys by the kind of output: the command, or the name of the file."""
    found = {}
    for step, output in outputs.items():
        kind = step.rpartition("/")[2] if "/" in step else next((kind for kind in KINDS if step.startswith(kind)), step.split()[0])
        found.setdefault(kind, set()).update(keys(output["written"]))
    return {kind: sorted(paths) for kind, paths in found.items() if paths}


def differences(before, now, at="", text=False):
    """List where values are others than before.

    A key that is new is no difference, nor one whose value changes by nature; of texts only whether there are any is compared.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        changing = CHANGING & {str(before.get(key)).removeprefix("max_") for key in ("metric", "name")}
        same = [] if changing else [key for key in before if key in now and key not in CHANGING]
        texts = {*TEXTS, "reason"} if "decision" in before else TEXTS
        lost = [f"{at}.{key} is gone" for key in before if key not in now and key not in RETIRED]
        return lost + [line for k in same for line in differences(before[k], now[k], f"{at}.{k}", text or k in texts)]
    if text:
        return [] if bool(before) == bool(now) else [f"{at}: {before!r} is now {now!r}"]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [line for n, pair in enumerate(zip(before, now, strict=True)) for line in differences(*pair, f"{at}[{n}]")]
    if isinstance(before, float) and isinstance(now, float | int):
        return [] if abs(before - now) <= 1e-6 * max(1.0, abs(before)) else [f"{at}: {before} is now {now}"]
    if isinstance(before, str) and isinstance(now, str) and re.fullmatch("shapes-image [0-9a-f]{16}", before):
        before, now = before[:-16], now[:-16]  # a digest of the weights' files with their times
    return [] if before == now else [f"{at}: {before!r} is now {now!r}"]
