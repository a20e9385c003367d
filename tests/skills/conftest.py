from collections.abc import Callable
from pathlib import Path

import pytest

WriteSkill = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_skills_from_the_environment(monkeypatch):
    monkeypatch.delenv("GEMS_SKILLS", raising=False)


@pytest.fixture
def write_skill(tmp_path: Path) -> WriteSkill:
    """Write a skill's folder; `front` takes the place of the whole front matter."""

    def write(name="fog", *, front=None, description="Adds fog.", body="Write fog.", parent="own", references=None) -> Path:
        folder = tmp_path / parent / name
        folder.mkdir(parents=True)
        front = f"name: {name}\ndescription: {description}" if front is None else front
        (folder / "SKILL.md").write_text(f"---\n{front}\n---\n\n{body}\n", encoding="utf-8")
        for file, text in (references or {}).items():
            (folder / "references").mkdir(exist_ok=True)
            (folder / "references" / file).write_text(text, encoding="utf-8")
        return folder

    return write
