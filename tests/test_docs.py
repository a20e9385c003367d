"""The docs are true where the build of the site does not look: commands, names, files, and what is made from the code."""

import ast
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import textwrap
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from pydantic import BaseModel, Field

import gems
from gems import Check, Verdict, run
from gems.cli import app
from gems.context import PRESET_DESCRIPTIONS, PRESETS, RunContext
from gems.graph.build import ROLES

ROOT = Path(gems.__file__).parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]
MADE_BY_RECIPES = {
    "skills/origami/SKILL.md",
    *("nodes/watcher.py", "models/chat/canned.py", "models/image/acme.py", "evaluation/benchmarks/colours.py"),
    *("tests/nodes/test_watcher.py", "tests/models/chat/test_canned.py", "tests/models/image/test_acme.py"),
    "tests/evaluation/benchmarks/test_colours.py",
}
"""Files that a recipe has its reader make."""
OTHERS = {"serving.md", "compatibility.md"}
"""Pages that name options of other programs."""

INSTEAD = {
    "told": "shown, reported or printed",
    "said": "stated, or whoever answers as the subject",
    "found": "detected or discovered",
    "asked of|asked for": "requested",
    "gone on with|go(?:es)? on with": "resumed or continued",
    "tells? whether": "check whether",
    "(?:is|are|was|were) none": "is not",
    "knobs?": "setting",
    "pictures?": "image",
    "painters?": "image worker",
    "drawers?|talkers?": "image model or chat model",
    "the house": "the code",
    "of the wild": "public",
}
"""Words that the prose of the docs does not use, with what it says instead; what is quoted as code may have them."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


@pytest.fixture(scope="module")
def reference():
    """Load the module that makes the reference; it is no part of the package, and needs nothing of Sphinx."""
    spec = importlib.util.spec_from_file_location("gems_reference", ROOT / "docs" / "_ext" / "gems_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_of(page):
    """Give the lines of shell in a page: of blocks, of what is indented, and in backticks."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fences = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for language, block in fences if language in ("", "sh") for line in block.splitlines()]
    return lines + re.findall(r"^ {4,}(\S.*)$", prose, re.MULTILINE) + re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)


@pytest.fixture(scope="module")
def options(reference):
    """Give the options of each command by its path; to collect them takes a second."""
    return reference.options_of(app)


MEASURED = [page for page in PAGES if page.parent.name == "measured" and page.name != "index.md"]


@pytest.mark.parametrize("page", MEASURED, ids=lambda p: p.stem)
def test_a_measured_page_names_its_command_and_a_commit_of_this_repository(page):
    assert any(line.startswith(("gems ", "python -m ")) for line in code_of(page)), "name the command that wrote it"
    commits = re.findall(r"commit `([0-9a-f]{7,40})`", page.read_text(encoding="utf-8"))
    assert commits, "name the commit at which it was written: commit `0123abc`"
    git = shutil.which("git")
    shallow = git and subprocess.run(
        [git, "-C", ROOT, "rev-parse", "--is-shallow-repository"], capture_output=True, text=True, check=False
    )
    if not shallow or shallow.stdout.strip() != "false":
        pytest.skip("this is no whole clone: whether the commit is of this repository cannot be told")
    for commit in commits:
        assert subprocess.run([git, "-C", ROOT, "cat-file", "-e", f"{commit}^{{commit}}"], check=False).returncode == 0, commit


@every_page
def test_the_commands_that_it_shows_exist(page, options):
    for line in code_of(page):
        for said in re.findall(r"(?:^|&& |\$ )gems ((?:[^#|&\"']|\"[^\"]*\"|'[^']*'|(?<=\S)#)+)", line):
            words = shlex.split(said)
            path = []
            while words and re.fullmatch(r"[a-z][a-z0-9-]*", words[0]):
                if (*path, words[0]) not in options:
                    assert path or words[0] in PRESETS, f"gems {words[0]} in: {line}"  # so the server calls its assistants
                    break
                path.append(words.pop(0))
            known = options[tuple(path)]
            for option in (word.partition("=")[0] for word in words if word.startswith("--")):
                assert option in known, f"gems {' '.join(path)} has no {option}: {line}"


@every_page
def test_the_options_that_it_names_exist(page, options):
    if page.name in OTHERS:
        return
    known = set().union(*options.values())
    for line in code_of(page):
        if option := re.match(r"(--[a-z][a-z-]*)", line):
            assert option.group(1) in known, line


@every_page
def test_its_python_compiles_and_imports_what_there_is(page):
    text = page.read_text(encoding="utf-8")
    for number, block in enumerate(re.finditer(r"```python\n(.*?)```", text, re.DOTALL), 1):
        tree = ast.parse(textwrap.dedent(block.group(1)), f"{page.name}, block {number}")
        file = [".", *re.findall(r"`([\w/]+)\.py`", text[: block.start()])][-1]  # a recipe names it before its text
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or (node.level == 0 and node.module.split(".")[0] != "gems"):
                continue
            folder = ["gems", *file.split("/")[: -node.level]] if node.level else []
            name = ".".join([*folder, node.module])
            if f"{name.removeprefix('gems.').replace('.', '/')}.py" in MADE_BY_RECIPES:
                continue
            module = importlib.import_module(name)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{page.name}, block {number}: {name} has no {alias.name}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda p: str(p.relative_to(ROOT)))
def test_its_prose_uses_the_terms_of_the_field(page):
    text = re.sub(r"^(```+).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ {4,}\S.*$|`[^`]+`|\]\([^)]*\)", "", text, flags=re.MULTILINE)
    words = {
        word: instead for word, instead in INSTEAD.items() if re.search(rf"\b(?:{word})\b", " ".join(text.split()), re.IGNORECASE)
    }
    assert not words, f"write instead: {words}"


@every_page
def test_its_links_and_the_files_that_it_names_are_there(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert ":" in target or (page.parent / target).exists(), target
    folders = "|".join(f.name for f in ROOT.iterdir() if f.is_dir() and f.name.isalpha())
    for name in re.findall(rf"`((?:gems/)?(?:{folders})/[\w./-]+\.(?:py|md|toml|json|html|svg))`", text):
        assert name in MADE_BY_RECIPES or (ROOT / name.removeprefix("gems/")).exists() or name.startswith("images/"), name


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "measured").glob("[!i]*.md")), ids=lambda p: p.stem)
def test_a_measured_table_names_its_command(page):
    head = page.read_text(encoding="utf-8").splitlines()
    assert head[0].startswith("# ")
    assert re.match(r"    (gems eval|python -m) \S", head[2]), head[2]
    assert page.stem in (ROOT / "docs" / "measured" / "index.md").read_text(encoding="utf-8")


def test_the_settings_are_those_of_the_code_and_a_new_one_shows_up(reference):
    class More(RunContext):
        glow: int | None = Field(
            None, ge=1, le=9, description="How much it glows.", json_schema_extra={"langgraph_nodes": ["generator"]}
        )

    told = reference.settings(More, ROLES, ["--glow", "--rounds"])
    assert "| `glow` | `--glow` | whole number, from 1 to 9 or none | `none` | How much it glows. |" in told
    assert "| `max_rounds` | `--rounds` | whole number, from 1 to 100 | `5` |" in told
    assert all(f"| `{name}` |" in told for name in RunContext.model_fields)
    assert told.index("## generator") < told.index("`glow`") < told.index("## verifier")


def test_options_with_other_names_than_their_setting_exist(reference):
    assert set(reference.OPTION_OF.values()) <= reference.options_of(app)["run",]
    assert set(reference.OPTION_OF) <= set(RunContext.model_fields)


def test_every_preset_is_told_by_what_makes_it(reference):
    rows = reference.presets(RunContext, PRESETS, PRESET_DESCRIPTIONS).splitlines()[2:]
    assert [re.match(r"\| `(.+?)`", row).group(1) for row in rows] == list(PRESETS)
    assert "`max_rounds=8`, `candidates=2`, `confirm=true`, `votes=3`" in rows[list(PRESETS).index("thorough")]


def test_commands_are_told_with_their_arguments_bounds_and_variables(reference):
    program, group = typer.Typer(), typer.Typer(help="Things.")
    program.add_typer(group, name="things")

    @program.command("other")
    def other() -> None:
        """Do something else."""

    @group.command("draw")
    def draw(
        what: str,
        size: Annotated[int, typer.Option(min=8, max=64, help="Pixels | wide.", envvar="SIZE")] = 16,
        loud: Annotated[bool, typer.Option("--loud/--quiet", help="Say it.")] = False,
    ) -> None:
        """Draw a thing."""

    told = reference.commands(program, "prog")
    assert "### prog things draw\n\nDraw a thing.\n\n```sh\nprog things draw WHAT [OPTIONS]\n```" in told
    assert "| `--size` | whole number, from 8 to 64 | `16` | Pixels \\| wide. Variable: `SIZE`. |" in told
    assert "| `--loud` `--quiet` | switch |" in told
    assert "| `SIZE` | `--size` |" in reference.environment(program)


def test_every_command_of_gems_is_told(reference, options):
    told = reference.commands(app, "gems")
    for path in options:
        alike = re.findall(r"^These commands have the same options: (.*)\.$", told, re.MULTILINE)
        own = f"# gems {' '.join(path)}\n" in told
        assert not path or own or any(f"`{path[-1]}`" in line for line in alike), path


def test_every_type_of_a_union_of_events_is_told(reference):
    class Began(BaseModel):
        """It began."""

        event: Literal["began"] = "began"
        at: float = Field(description="Seconds.")

    class Ended(BaseModel):
        """It ended."""

    told = reference.events(Began | Ended)
    assert "## Began\n\nIt began." in told
    assert "| `at` | number |  | Seconds. |" in told
    assert "## Ended" in told


def test_every_environment_variable_of_the_code_is_told(reference):
    told = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8") + reference.environment(app)
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    code = [path for folder in folders for path in (ROOT / folder.removeprefix("gems").replace(".", "/").lstrip("/")).glob("*.py")]
    assert ROOT / "commands" / "options.py" in code
    for path in code:
        for name in re.findall(r"[\"'`](GEMS_[A-Z_]+|OPENAI_[A-Z_]+|LANGGRAPH_AES_KEY)[\"'`]", path.read_text(encoding="utf-8")):
            assert f"`{name}`" in told, f"{name} in {path.name}"


def test_what_is_public_and_has_no_place_in_the_reference_is_put_at_its_end(reference):
    page = ".. autofunction:: run\n.. autoclass:: Check\n   :members:\n.. py:data:: PRESETS\n"
    assert reference.missing_names(page, {"run": run, "Check": Check, "PRESETS": PRESETS}, "gems") == ""
    rest = reference.missing_names(page, {"run": run, "Verdict": Verdict, "fork": run}, "gems")
    assert ".. autoclass:: gems.Verdict\n   :members:" in rest
    assert ".. autofunction:: gems.fork" in rest
    assert "gems.run" not in rest


def test_every_extra_has_its_line():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    table = (ROOT / "docs" / "start.md").read_text(encoding="utf-8").partition("| extra |")[2].partition("\n\n")[0]
    assert {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)} == set(
        extras
    )


@pytest.mark.parametrize(
    ("user", "there", "installs"),
    [
        ("0", ["apt-get"], True),
        ("1000", ["apt-get"], False),
        ("0", [], False),
        ("0", ["apt-get", "chromium"], False),
        ("0", ["apt-get", "chromium-browser"], False),
        ("0", ["apt-get", "google-chrome"], False),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_ci_installs_a_browser_only_where_it_may_and_goes_on_without(tmp_path, user, there, installs, fails):
    def program(name, does):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)

    program("id", f"echo {user}")
    program("python3", "echo here the checks begin; exit 9")
    for name in ("dirname", "mktemp", "rm"):
        program(name, f'PATH=/usr/bin:/bin exec {name} "$@"')
    for name in there:
        program(name, f"echo {name} {'$*' if name == 'apt-get' else ''}; exit {int(fails)}")
    environment = {name: value for name, value in os.environ.items() if name != "GEMS_CHROMIUM"} | {"PATH": str(tmp_path)}
    done = subprocess.run(["/bin/bash", ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    assert "here the checks begin" in done.stdout
    assert ("apt-get -qq update" in done.stdout) is installs
    assert ("not installed: the tests say what to do" in done.stdout) is (installs and fails)
