"""Run the notebooks from top to bottom and write them back with what they show.

    python notebooks/execute.py             # all of them
    python notebooks/execute.py 02 04       # those whose names begin so

Each runs in a new Python and in a folder of its own that is gone afterwards. What changes from one time to the next although
nothing has changed is left out of the file, so that a difference is one that a reader would see.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image
from traitlets.config import Config

FOLDER = Path(__file__).resolve().parent
TIMEOUT = 120
"""Seconds that a cell may take."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class NotebookError(Exception):
    """A notebook did not run as a reader should see it."""


def notebooks(names: list[str] | None = None) -> list[Path]:
    """Return the notebooks, or those whose file names begin with one of `names`.

    Raises:
        NotebookError: a name is the begin of none.
    """
    found = sorted(FOLDER.glob("*.ipynb"))
    for name in names or ():
        if not any(path.name.startswith(name) for path in found):
            raise NotebookError(f"no notebook begins with {name}: there are {', '.join(path.stem for path in found)}")
    return [path for path in found if not names or path.name.startswith(tuple(names))]


def execute(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a new run; the file is left as it is.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell has failed.
        NotebookError: a cell has written a warning, or shows a picture that has no words for those who do not see it.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="gems-notebook-") as folder:
        NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            # By a socket in the folder: over TCP the kernel warns that what is said is not encrypted.
            config=Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"}),
            resources={"metadata": {"path": folder}},
        ).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs = [_tidy(output, cell, f"{path.name}, cell {number}") for output in cell.outputs]
    return notebook


def _tidy(output: nbformat.NotebookNode, cell: nbformat.NotebookNode, where: str) -> nbformat.NotebookNode:
    """Return an output with one picture format, few bytes, and the words that the cell's metadata has for its pictures."""
    if output.get("name") == "stderr":
        raise NotebookError(f"{where} wrote to stderr: {output['text']}")
    data: dict[str, Any] = output.get("data", {})
    if "image/png" in data:
        if "alt" not in cell.metadata:
            raise NotebookError(f'{where} shows a picture: say in the cell\'s metadata what it shows, {{"alt": "..."}}')
        data.pop("image/jpeg", None)  # the same picture once more
        data.pop("text/plain", None)  # and its address in memory
        data["image/png"] = _light(data["image/png"])
        output["metadata"] = nbformat.from_dict({"image/png": {"alt": cell.metadata["alt"]}})
    return output


def _light(png: str) -> str:
    """Return a picture with a palette: these few flat colours lose nothing by it, and weigh a third."""
    with Image.open(BytesIO(base64.b64decode(png))) as image:
        made = BytesIO()
        image.quantize(256).save(made, "PNG", optimize=True)
    return base64.b64encode(made.getvalue()).decode()


def cover_of(path: Path) -> Path:
    """Return where the documentation has a notebook's picture: that of the cell whose metadata say {"cover": true}."""
    return FOLDER.parent / "docs" / "notebooks" / f"{path.stem}.png"


def main(names: list[str]) -> None:
    """Run notebooks and write them back, and their pictures for the documentation."""
    for path in notebooks(names):
        notebook = execute(path)
        nbformat.write(notebook, path)
        for output in (o for cell in notebook.cells if cell.metadata.get("cover") for o in cell.outputs):
            if "image/png" in output.get("data", {}):
                cover_of(path).write_bytes(base64.b64decode(output["data"]["image/png"]))
        sys.stdout.write(f"{path.name}: {path.stat().st_size / 1024:.0f} KB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
