"""The study of public skills counts what loads, and why the rest does not."""

import json

from gems.studies.public_skills import main


def test_it_counts_what_loads_and_why_the_rest_does_not(tmp_path, capsys):
    texts = {
        "good": "---\nname: good\ndescription: Adds fog.\n---\nWrite fog.",
        "colon": "---\nname: colon\ndescription: Adds fog: thick.\n---\nWrite fog.\n---\nMore.",
        "other": "---\nname: renamed\ndescription: >-\n  Adds\n  fog.\n---# Fog",
        "former": "# Skill: Fog\n\n## Description\nAdds fog.\n\n## Instructions\nWrite fog.",
        "none": "Write fog.",
    }
    for name, text in texts.items():
        (tmp_path / "root" / "skills" / name).mkdir(parents=True)
        (tmp_path / "root" / "skills" / name / ("skill.md" if name == "good" else "SKILL.md")).write_text(text)
    main([str(tmp_path / "root"), "--json", str(tmp_path / "out.json"), "--out", str(tmp_path / "out.md")])
    (found,) = json.loads((tmp_path / "out.json").read_text())
    assert {name: found[name] for name in ("files", "loaded", "without_a_note", "found", "listed", "accepted")} == {
        "files": 5, "loaded": 4, "without_a_note": 0, "found": 5, "listed": 4, "accepted": 1,
    }  # fmt: skip
    assert sum(found["refused"].values()) == 1
    assert found["accepted_but_refused"] == found["differs"] == []
    assert found["notes"]["name '...' differs from the folder name '...'"] == 2
    page = (tmp_path / "out.md").read_text()
    assert "| root |  | 5 | 4 (80.0 %) | 0 | 5 | 4 |" in page
    assert page in capsys.readouterr().out
