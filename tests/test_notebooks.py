"""The notebooks run from top to bottom, and show what the committed files show."""

import base64
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

import gems

FOLDER = Path(gems.__file__).parent / "notebooks"
NAMES = ("01_run_the_graph", "02_swap_a_node", "03_write_a_skill", "04_ablate_memory", "05_your_own_models")
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|Users|private|var)/|site-packages|127\.0\.0\.1:\d|0x[0-9a-f]{6,}|[A-Z]:\\\\")
"""What tells of the machine that a notebook was run on."""


def _script():
    spec = importlib.util.spec_from_file_location("execute_notebooks", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


execute = _script()


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def shown(notebook):
    """Return what each cell shows in words: what it printed, and its tables without the pictures in them."""
    found = []
    for cell in notebook.cells:
        texts = []
        for output in cell.get("outputs", []):
            texts.append(output.get("text", ""))
            data = output.get("data", {})
            texts += [data.get(kind, "") for kind in ("text/html", "text/markdown", "text/plain")]
        found.append(re.sub(r'src="data:[^"]*"', "", "".join(texts)))
    return found


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_these_are_the_notebooks():
    assert [path.stem for path in execute.notebooks()] == list(NAMES)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_top_to_bottom_and_shows_what_the_file_shows(name):
    fresh = execute.execute(FOLDER / f"{name}.ipynb")  # raises where a cell fails or warns
    for number, (then, now) in enumerate(zip(shown(read(name)), shown(fresh), strict=True)):
        assert now == then, f"cell {number} shows something else than the file: run python notebooks/execute.py {name[:2]}"
    assert [sorted(o.get("data", {})) for o in outputs(fresh)] == [sorted(o.get("data", {})) for o in outputs(read(name))]


@pytest.mark.parametrize("name", NAMES)
def test_the_file_reads_well_where_it_is_not_run(name):
    path = FOLDER / f"{name}.ipynb"
    notebook = read(name)
    nbformat.validate(notebook)
    assert path.stat().st_size < 400 * 1024
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not MACHINE.search(path.read_text(encoding="utf-8"))
    assert notebook.metadata == execute.METADATA
    pictures = [o for o in outputs(notebook) if "image/png" in o.get("data", {})]
    assert all(len(o["data"]["image/png"]) * 3 / 4 < 60 * 1024 for o in pictures)
    assert all(len(o["metadata"]["image/png"]["alt"]) > 20 for o in pictures)
    html = "".join(o.get("data", {}).get("text/html", "") for o in outputs(notebook))
    assert "<script" not in html
    assert all('alt="' in tag for tag in re.findall(r"<img[^>]*>", html))
    assert pictures
    covers = [o for cell in notebook.cells if cell.metadata.get("cover") for o in cell.outputs if "image/png" in o.get("data", {})]
    assert [base64.b64decode(o["data"]["image/png"]) for o in covers] == [execute.cover_of(path).read_bytes()]


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_question_and_an_answer_and_its_links_lead_somewhere(name):
    texts = [cell.source for cell in read(name).cells if cell.cell_type == "markdown"]
    assert re.search(r"\*\*[^*]+\?\*\*", texts[0])
    assert "## The answer" in "\n".join(texts)
    assert "## Try next" in texts[-1]
    for link in re.findall(r"\]\(([^)]+)\)", "\n".join(texts)):
        assert link.startswith("https://") or (FOLDER / link).exists(), link


def test_a_name_that_is_no_notebooks_is_told():
    with pytest.raises(execute.NotebookError, match="01_run_the_graph"):
        execute.notebooks(["09"])


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import sys; print('careful', file=sys.stderr)", "wrote to stderr: careful"),
        ("from PIL import Image; Image.new('L', (8, 8))", 'say in the cell.s metadata what it shows, {"alt"'),
    ],
)
def test_a_warning_and_a_picture_without_words_are_refused(tmp_path, source, told):
    path = tmp_path / "some.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
    with pytest.raises(execute.NotebookError, match=told):
        execute.execute(path)
