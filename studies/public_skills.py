"""How many public skills load: `python -m studies.public_skills ROOT... [--out FILE] [--json FILE] [--no-reference]`.

A ROOT is a folder that holds somebody's skills, such as the checkout of a public repository. Each SKILL.md in it, in whatever case
its name is written, counts once. It is loaded if its description stands in the catalogue and its body is what the file says, both
as one of two readings has them that share no code with ours: that of skills-ref, the standard's own validator, which takes any
three hyphens for the end of the front matter, and a plain search for lines. Run from the root of the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import skills_ref
from rich.progress import track
from skills_ref.parser import parse_frontmatter

from gems.skills import Skill, SkillLibrary
from gems.skills.library import skill_folders
from gems.skills.skill import SKILL_FILE, read_skill, skill_file
from gems.terminal import Console

SUMMED = ("files", "loaded", "without_a_note", "found", "listed", "seconds", "accepted")
"""What of the roots is added up."""


@dataclass
class SkillCount:
    """What became of the skills of a root."""

    root: str
    commit: str = ""
    files: int = 0
    loaded: int = 0
    without_a_note: int = 0
    found: int = 0
    """Skill folders that are found from the root, as `--skills ROOT` does."""
    listed: int = 0
    """Of the loaded ones, those whose description stands in the catalogue of `--skills ROOT`."""
    seconds: float = 0.0
    """For that catalogue."""
    accepted: int = 0
    """By skills-ref."""
    refused: Counter[str] = field(default_factory=Counter)
    """Why a skill did not load."""
    notes: Counter[str] = field(default_factory=Counter)
    """What was noted of those that did."""
    differs: list[str] = field(default_factory=list)
    """Files that are read otherwise than both other readings have it."""
    accepted_but_refused: list[str] = field(default_factory=list)
    """Files that skills-ref takes and we do not."""


def files_of(root: Path) -> Iterator[Path]:
    """Return every SKILL.md below a root, but for what git keeps."""
    for at, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - {".git"})
        yield from (Path(at, file) for file in sorted(files) if file.upper() == SKILL_FILE.upper())


def count_skills(root: Path, reference: bool = True) -> SkillCount:
    """Load each skill of a root alone, then all of them as a collection."""
    wild = SkillCount(root.name, _commit(root))
    descriptions = []
    for file in track(list(files_of(root)), root.name, console=Console(stderr=True), transient=True):
        if skill_file(file.parent) != file:  # beside a SKILL.md another one in small letters
            continue
        wild.files += 1
        skill, problems = read_skill(file.parent)
        accepted = reference and _accepted(file.parent)
        wild.accepted += accepted
        if skill is None:
            wild.refused[next(_cause(p.reason) for p in problems if p.fatal)] += 1
        elif wrong := _difference(skill, file):
            wild.differs.append(f"{file.relative_to(root)}: {wrong}")
        else:
            wild.loaded += 1
            wild.without_a_note += not problems
            wild.notes.update({_cause(p.reason) for p in problems})
            descriptions.append(skill.description)
            continue
        if accepted:
            wild.accepted_but_refused.append(str(file.relative_to(root)))
    begun = time.perf_counter()
    library = SkillLibrary.load([root])
    wild.seconds = time.perf_counter() - begun
    wild.found = len(skill_folders(root))
    listed = {skill.description for skill in library}
    wild.listed = sum(description in listed for description in descriptions)
    return wild


def _difference(skill: Skill, file: Path) -> str:
    """Return in what our reading differs from both others; empty where it agrees with one."""
    if skill.description not in SkillLibrary((skill,)).catalog():
        return "catalogue"
    others = list(_other_readings(file.read_text(encoding="utf-8-sig")))
    if not any(_words(description) == _words(skill.description) for description, _ in others):
        return "description"
    return "" if any(body == skill.body for _, body in others) else "body"


def _other_readings(text: str) -> Iterator[tuple[str, str]]:
    """Return description and body as skills-ref has them, and as a search for lines finds them."""
    try:
        fields, body = parse_frontmatter(text)
        yield str(fields["description"]), body
    except Exception:  # skills-ref raises what its YAML raises, and KeyError is one more way to have nothing
        pass
    if text.lstrip().startswith("# Skill:"):
        description, _, body = text.partition("## Description")[2].partition("## Instructions")
        yield description, body.strip()
        return
    parts = re.split(r"^---[ \t]*", text.lstrip(), maxsplit=2, flags=re.MULTILINE)
    if len(parts) < 3:
        return
    front, body = parts[1:]
    for lines in (front, re.sub(r"^#.*|[ \t]#[ \t].*", "", front, flags=re.MULTILINE)):  # a # may stand in a text, or for a comment
        found = re.search(r"^description:(.*?)(?=^[A-Za-z][\w.-]*:(?:\s|$)|\Z)", lines, re.MULTILINE | re.DOTALL)
        yield (found[1] if found else ""), body.strip()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _accepted(folder: Path) -> bool:
    try:
        return not skills_ref.validate(folder)
    except Exception:  # it does not read every encoding
        return False


def _cause(reason: str) -> str:
    """Return a reason without the words of the file in it."""
    reason = reason.replace("folder's", "folder")
    reason = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", re.sub(r"\d+", "N", reason))
    reason = re.sub(r"^(unknown key).*", r"\1", re.sub(r"^(the body names) .*", r"\1 a file that is not there", reason))
    reason = re.sub(r"^metadata\.\S+ must be text, not", "a value in metadata must be text, not", reason)
    return re.split(r"[:;]", reason)[0].replace("keys", "key")


def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def share(part: int, whole: int) -> str:
    """Return a share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def markdown(wilds: Sequence[SkillCount]) -> str:
    """Return the tables of a page."""
    lines = ["| root | commit | files | loaded | without a note | found from the root | listed from the root | seconds |"]
    lines += ["| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    every = SkillCount("all", **{name: sum(getattr(w, name) for w in wilds) for name in SUMMED})
    for w in (*wilds, every):
        figures = f"{w.loaded} ({share(w.loaded, w.files)}) | {w.without_a_note} | {w.found} | {w.listed} | {w.seconds:.1f}"
        lines.append(f"| {w.root} | {w.commit} | {w.files} | {figures} |")
    lines += [""]
    lines += _counts("not loaded", sum((w.refused for w in wilds), Counter()), every.files)
    lines += _counts("loaded with this note", sum((w.notes for w in wilds), Counter()), every.files)
    differs = [f"{w.root}/{file}" for w in wilds for file in w.differs]
    lines += [f"Read otherwise than by both other readings: {len(differs)}.", ""]
    refused = [f"{w.root}/{file}" for w in wilds for file in w.accepted_but_refused]
    lines += [
        f"skills-ref accepts {every.accepted}; of these {len(refused)} do not load{': ' + ', '.join(refused) if refused else ''}."
    ]
    return "\n".join(lines) + "\n"


def _counts(title: str, causes: Counter[str], files: int) -> list[str]:
    rows = [f"| {cause} | {number} | {share(number, files)} |" for cause, number in causes.most_common()]
    return [f"| {title} | files | of all |", "| --- | ---: | ---: |", *rows, ""]


def main(arguments: Sequence[str] | None = None) -> None:
    """Examine the roots that are named, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m studies.public_skills", description=__doc__.split("\n")[0])
    parser.add_argument("roots", nargs="+", type=Path, metavar="ROOT", help="a folder with skills in it")
    parser.add_argument("--out", type=Path, help="write the tables as Markdown")
    parser.add_argument("--json", type=Path, help="write every figure, and the files that differ")
    parser.add_argument("--no-reference", action="store_true", help="do not ask skills-ref, which takes most of the time")
    options = parser.parse_args(arguments)
    wilds = [count_skills(root, not options.no_reference) for root in options.roots]
    if options.json:
        options.json.write_text(json.dumps([vars(wild) for wild in wilds], indent=1, ensure_ascii=False), encoding="utf-8")
    if options.out:
        options.out.write_text(markdown(wilds), encoding="utf-8")
    Console().print(markdown(wilds), markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
