"""Skills as people publish them: what departs from the standard is loaded with a note, and whole collections are found."""

import os
import sys
import time

import pytest
import skills_ref

from gems.skills import Skill, SkillError, SkillLibrary, skill_tools, validate
from gems.skills.library import MAX_NOTES, skill_folders
from gems.skills.skill import MAX_FILE_BYTES, read_skill

BUNDLED = SkillLibrary.load().names
FORMER = """# Skill: Fog & Mist

## Description

Adds fog.
- **Trigger when**: the user wants fog.

---

## Instructions
Write fog.
---
More."""


def own(library: SkillLibrary) -> list[Skill]:
    return [skill for skill in library if skill.name not in BUNDLED]


def only(folder) -> tuple[Skill, str]:
    """Load a folder with one skill: that skill, and what is said of it."""
    library = SkillLibrary.load([folder])
    (skill,) = own(library)
    assert library.problems == ()
    return skill, "\n".join(library.notes())


@pytest.mark.parametrize(
    ("front", "name", "description", "noted"),
    [
        (
            "name: fog\ndescription: Adds fog.\nmetadata:\n  tags: [a, b]\n  by: me",
            "fog",
            "Adds fog.",
            "metadata.tags must be",
        ),
        ("name: fog\ndescription: Adds fog.\nmetadata: {app: {emoji: x}}", "fog", "Adds fog.", "metadata.app must be text"),
        (
            'name: fog\ndescription: Adds fog.\nmetadata: {"a": {"b": "\\ud83d\\udd2c"}}',
            "fog",
            "Adds fog.",
            "metadata.a must be",
        ),
        ("name: fog\ndescription: Adds fog.\nmetadata:", "fog", "Adds fog.", "metadata must hold lines"),
        ("name: fog\ndescription: Adds fog.\nmetadata:\n\t- x", "fog", "Adds fog.", "metadata is left out"),
        ("name: fog\ndescription: Adds fog.\nlicense: {a: b}", "fog", "Adds fog.", "license must be text"),
        ("name: fog\ndescription: Adds fog.\ncompatibility: [a, b]", "fog", "Adds fog.", "compatibility must be text, not a list"),
        ("name: fog\ndescription: [Adds fog, adds mist]", "fog", "Adds fog, adds mist", "description must be text, not a list"),
        ("name: acme-fog\ndescription: Adds fog.", "acme-fog", "Adds fog.", "name 'acme-fog' differs from the folder's name 'fog'"),
        ("name: Acme_Fog.v2\ndescription: Adds fog.", "Acme_Fog.v2", "Adds fog.", "may hold lowercase letters"),
        ("name: Fog, and mist\ndescription: Adds fog.", "fog", "Adds fog.", "it is listed as 'fog'"),
        ("name: 'a\\nb: c'\ndescription: Adds fog.", "fog", "Adds fog.", "it is listed as 'fog'"),
        (f"name: {'x' * 70}\ndescription: Adds fog.", "x" * 70, "Adds fog.", "at most 64"),
        ("description: Adds fog.", "fog", "Adds fog.", "name is missing"),
        (f"name: fog\ndescription: {'x ' * 600}", "fog", ("x " * 600).strip(), "description has 1199 characters"),
        (f"name: fog\ndescription: {'x' * 20_000}", "fog", "x" * 10_000, "only the first 10000 characters"),
        ("name: ..\ndescription: Adds fog.", "fog", "Adds fog.", "it is listed as 'fog'"),
        (
            "name: fog\ndescription: Adds fog: thick. Use: it",
            "fog",
            "Adds fog: thick. Use: it",
            "description is read as plain text",
        ),
        ("name: fog\ndescription: **Fog** `now` @ 5%", "fog", "**Fog** `now` @ 5%", "description is read as plain text"),
        ("name: fog\ndescription: @fog adds fog", "fog", "@fog adds fog", "description is read as plain text"),
        ("name: fog\ndescription: %d banks of fog", "fog", "%d banks of fog", "description is read as plain text"),
        ("name: fog\ndescription: {FOG} and more", "fog", "{FOG} and more", "description is read as plain text"),
        ('name: fog\ndescription: "Adds "thick" fog"', "fog", 'Adds "thick" fog', "description is read as plain text"),
        ('name: fog\ndescription: "Adds fog.\nlicense: MIT', "fog", "Adds fog.", "3: the front matter is not YAML"),
        ("name: fog\ndescription: >-\n  Adds\n  fog: x\nlicense: a: b", "fog", "Adds fog: x", "license is read as plain text"),
        ("name: fog\ndescription: Adds\nfog in lines", "fog", "Adds fog in lines", "description is read as plain text"),
        ("name: fog\ndescription: a\x07\u202eb", "fog", "a b", "a character that YAML does not allow"),
        ("name: fog\ndescription: a\nname: fog", "fog", "a", "name is given twice"),
        (
            "name: fog\ndescription: Adds fog.\nversion: 1\nauthor: me",
            "fog",
            "Adds fog.",
            "keys 'version', 'author' are ignored",
        ),
        ("name: fog\ndescription: &a Adds fog.\nlicense: *a", "fog", "Adds fog.", ""),
        ("name: fog\ndescription: Adds fog.\n? [a, b]\n: c", "fog", "Adds fog. ? [a, b] : c", "found unhashable key"),
    ],
)
def test_what_departs_from_the_standard_is_loaded_with_a_note(write_skill, front, name, description, noted):
    skill, notes = only(write_skill(front=front))
    assert (skill.name, skill.description, skill.body) == (name, description, "Write fog.")
    assert noted in notes
    assert bool(noted) == bool(notes)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("---\nname: fog\ndescription: Adds fog.\n---# Fog\n\nThick.\n---\nMore.", "the closing --- has other text on its line"),
        ("---\nname: fog\ndescription: Adds fog.\n--- # Fog\n\nThick.\n---\nMore.", "the closing --- has other text on its line"),
        ("---\n\n  name: fog\n  description: Adds fog.\n  ---\n\n# Fog\n\nThick.\n  ---\nMore.", ""),
        ("\n\n---\nname: fog\ndescription: Adds fog.\n---\n# Fog\n\nThick.\n---\nMore.", "2 empty lines stand above"),
    ],
)
def test_a_fence_that_is_out_of_place_is_found(write_skill, text, noted):
    folder = write_skill()
    (folder / "SKILL.md").write_text(text)
    skill, notes = only(folder)
    assert (skill.description, skill.body.replace("  ---", "---")) == ("Adds fog.", "# Fog\n\nThick.\n---\nMore.")
    assert noted in notes


def test_the_form_before_the_standard_loads_with_a_hint(write_skill):
    folder = write_skill("fog_and_mist")
    (folder / "SKILL.md").write_text(FORMER)
    skill, notes = only(folder)
    assert skill.name == "fog_and_mist"
    assert skill.description == "Adds fog. - **Trigger when**: the user wants fog."
    assert skill.body == "Write fog.\n---\nMore."
    assert "this is the form before the standard: begin with a line ---" in notes
    assert any(not problem.cosmetic for problem in validate(folder))


@pytest.mark.parametrize("name", ["skill.md", "Skill.md"])
def test_the_file_may_be_written_in_small_letters(write_skill, name):
    folder = write_skill()
    (folder / "SKILL.md").rename(folder / name)
    skill, notes = only(folder.parent)
    assert skill.body == "Write fog."
    assert f"the file is named {name}: the standard's name is SKILL.md" in notes


def test_what_the_reference_validator_takes_is_loaded(write_skill):
    fronts = [
        "name: {}\ndescription: Adds fog.\nmetadata:\n  a:\n    - 1\n  b:\n    c: 1",
        "name: {}\ndescription: Adds fog.\nmetadata: text",
        "name: {}\ndescription: Adds fog.\nlicense: MIT\nallowed-tools: Read, Bash(git status:*)",
        "name: {}\ndescription: Adds fog: thick.",
    ]
    for number, (name, front) in enumerate(zip(["fog", "绘画", "æther-2", "ёж"], fronts, strict=True)):
        folder = write_skill(name, front=front.format(name), parent=f"own{number}")
        accepted = skills_ref.validate(folder) == []
        assert accepted or number == 3
        assert only(folder)[0].name == name
    assert SkillLibrary.load([folder.parent.parent / "own2"]).get("æther-2").allowed_tools == ("Read", "Bash(git status:*)")
    assert [p for p in validate(write_skill("rain-霧")) if not p.cosmetic] == []


def collection(write_skill, tmp_path):
    """A repository that holds skills wherever people put them, and much else."""
    places = ["", "skills", "plugins/p/skills", ".claude/skills", "a/b/c/d/e"]
    for number, place in enumerate(places):
        write_skill(f"fog-{number}", parent=f"repo/{place}")
    for number, place in enumerate(["node_modules", ".git", ".venv/lib", "a/b/c/d/e/f/g", "skills/fog-1/references"]):
        write_skill(f"hidden-{number}", parent=f"repo/{place}")
    root = tmp_path / "repo"
    write_skill("shared", parent="elsewhere/skills")
    (root / "linked").symlink_to(tmp_path / "elsewhere" / "skills")
    (root / "skills" / "single").symlink_to(tmp_path / "elsewhere" / "skills" / "shared")
    (root / "skills" / "loop").symlink_to(root)
    (root / "skills" / "dangling").symlink_to(root / "nowhere")
    (root / "skills" / "self").symlink_to(root / "skills" / "self")
    (root / "slash").symlink_to("/")
    return root


def test_a_collection_is_found_from_its_root(write_skill, tmp_path):
    root = collection(write_skill, tmp_path)
    found = [skill.name for skill in own(SkillLibrary.load([root])) if skill.path.is_relative_to(root)]
    assert found == ["fog-0", "fog-1", "fog-2", "fog-3", "fog-4", "shared"]
    (root / "SKILL.md").write_text("---\nname: repo\ndescription: The root itself.\n---\nx")
    names = [skill.name for skill in own(SkillLibrary.load([root]))]
    assert names == ["fog-1", "fog-2", "fog-3", "repo", "shared"]


def test_twenty_thousand_folders_take_no_time(tmp_path):
    for number in range(200):
        for inner in range(100):
            (tmp_path / f"{number}" / f"{inner}").mkdir(parents=True)
    begun = time.process_time()
    assert skill_folders(tmp_path) == []
    assert time.process_time() - begun < 3


def test_two_own_skills_of_one_name_are_told(write_skill):
    folders = [write_skill(parent=parent, description=parent).parent for parent in ("first", "second")]
    library = SkillLibrary.load(folders)
    assert library.get("fog").description == "second"
    assert [str(w) for w in library.warnings] == [
        f"{folders[0]}/fog/SKILL.md:1: the skill 'fog' of second/fog is used in its place"
    ]
    assert SkillLibrary.load([folders[0], folders[0]]).warnings == ()


def test_two_skills_of_one_name_in_a_collection_are_both_listed(write_skill, tmp_path):
    for parent in ("a/skills", "b/skills", "c/skills", "d/skills", "d"):
        write_skill(parent=f"repo/{parent}", description=parent)
    library = SkillLibrary.load([tmp_path / "repo"])
    assert {skill.name: skill.description for skill in own(library)} == {
        "fog": "d", "a-fog": "a/skills", "b-fog": "b/skills", "c-fog": "c/skills", "d-fog": "d/skills",
    }  # fmt: skip
    assert "another skill, of d/fog, is named 'fog': this one is listed as 'a-fog'" in "\n".join(library.notes())


def test_a_copy_in_a_collection_is_listed_once(write_skill, tmp_path):
    for parent in ("skills", ".claude/skills"):
        write_skill(parent=f"repo/{parent}")
    library = SkillLibrary.load([tmp_path / "repo"])
    assert [skill.name for skill in own(library)] == ["fog"]
    assert "a copy of the skill 'fog'" in library.notes()[0]


def test_notes_are_few_and_the_gravest_come_first(write_skill):
    for number in range(30):
        write_skill(f"fog-{number:02}", front=f"name: fog-{number:02}\ndescription: Adds fog.\nauthor: me")
    write_skill("worst", front="name: worst")
    notes = SkillLibrary.load([write_skill("bad", front="name: other\ndescription: x").parent]).notes()
    assert len(notes) == MAX_NOTES + 1
    assert "skill left out" in notes[0]
    assert "differs from the folder's name" in notes[1]
    assert notes[-1] == "skills: 12 more such notes, see `gems skills validate FOLDER`"


@pytest.fixture
def paper(write_skill):
    """A skill that keeps its files wherever it likes."""
    body = (
        "Read `forms.md` and [the tones](reference/tone%20names.md#warm), then ./guide.txt. Look into examples/ and run "
        "`python scripts/fold.py --fast`, or {baseDir}/scripts/cut.sh, or paper/tables/a.csv. Never `logo.png`, `/etc/passwd`, "
        "`../../secret.md`, `.env` or `gone.md`."
    )
    folder = write_skill("paper", body=body, references={"deep.md": "deep"})
    files = ("forms.md", "guide.txt", "LICENSE", "unnamed.md", "reference/tone names.md", "examples/b.md", "examples/a.md")
    for file in (*files, "scripts/fold.py", "scripts/cut.sh", "tables/a.csv", "references/more/x.md", ".env"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(f"text of {file}")
    (folder / "logo.png").write_bytes(b"\x89PNG\0\1")
    (folder / "examples" / "c.bin").write_bytes(b"\0\1\2")
    (folder.parent.parent / "secret.md").write_text("secret")
    return folder


def test_every_text_file_that_the_body_names_can_be_read(paper):
    library = SkillLibrary.load([paper])
    tools = {tool.name: tool for tool in skill_tools(library)}
    listed = [
        "examples/a.md", "examples/b.md", "forms.md", "guide.txt", "reference/tone names.md", "references/deep.md",
        "references/more/x.md", "scripts/cut.sh", "scripts/fold.py", "tables/a.csv",
    ]  # fmt: skip
    content = tools["load_skill"].invoke({"name": "paper"})
    assert [line[2:] for line in content.splitlines() if line.startswith("- ")] == listed
    for file in listed:
        text = tools["read_skill_file"].invoke({"name": "paper", "file": file})
        assert text == ("deep" if file == "references/deep.md" else f"text of {file}")


@pytest.mark.parametrize(
    ("file", "told"), [("logo.png", "no"), ("examples/c.bin", "NUL character"), (".env", "no file"), ("../../secret.md", "no file")]
)
def test_what_is_no_text_or_lies_elsewhere_is_refused(paper, file, told):
    with pytest.raises(SkillError, match=told):
        SkillLibrary.load([paper]).get("paper").read(file)


def test_a_skill_with_thirty_thousand_files_costs_milliseconds(paper):
    for number in range(100):
        (paper / "node_modules" / f"{number}").mkdir(parents=True)
        for inner in range(30):
            (paper / "node_modules" / f"{number}" / f"{inner}").touch()
    library = SkillLibrary.load([paper])
    skill = library.get("paper")
    begun = time.process_time()
    skill_folders(paper)
    for _ in range(5):
        skill_tools(library)
        assert skill.files
        assert skill.read("forms.md")
    assert time.process_time() - begun < 0.5


def sparse(file, size):
    file.touch()
    os.truncate(file, size)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda file, outside: os.mkfifo(file), "this is not a regular file"),
        (lambda file, outside: file.symlink_to("/dev/zero"), "this is not a regular file"),
        (lambda file, outside: file.symlink_to(outside), "this is a link out of the skill's folder"),
        (lambda file, outside: file.symlink_to(file.parent / "nowhere.md"), "the file cannot be read: No such file"),
        (lambda file, outside: file.symlink_to(file), "the file cannot be read: "),
        (
            lambda file, outside: os.truncate(file.write_text("x") and file, MAX_FILE_BYTES + 1),
            f"at most {MAX_FILE_BYTES} are read",
        ),
        (lambda file, outside: os.truncate(file.write_text("x") and file, 1 << 40), f"at most {MAX_FILE_BYTES} are read"),
        (lambda file, outside: file.write_bytes("---\nname: a".encode("utf-16")), "not UTF-8"),
        (lambda file, outside: file.write_bytes(b"---\nname: fog\ndescription: a\n---\na\0b"), "5: the file is no text"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes among its files")
def test_a_file_that_is_none_is_a_problem_at_once(write_skill, tmp_path, spoil, told):
    outside = write_skill("outside", parent="elsewhere") / "SKILL.md"
    folder = write_skill()
    (folder / "SKILL.md").unlink()
    spoil(folder / "SKILL.md", outside)
    begun = time.monotonic()
    library = SkillLibrary.load([folder.parent])
    assert time.monotonic() - begun < 2
    assert own(library) == []
    (problem,) = library.problems
    assert told in str(problem)
    assert str(problem).startswith(str(folder / "SKILL.md"))
    assert library.notes() == (f"skill left out: {problem}",)
    assert validate(folder)[0].fatal


def test_a_link_within_the_folder_is_read(write_skill):
    folder = write_skill()
    (folder / "SKILL.md").rename(folder / "text.md")
    (folder / "SKILL.md").symlink_to("text.md")
    assert only(folder)[0].body == "Write fog."


@pytest.mark.parametrize("signs", ["a", "a-", "../", "./", "a/", "a.", "`", "]("])
def test_a_long_body_of_one_kind_of_signs_takes_no_time(tmp_path, signs):
    body = signs * (200_000 // len(signs))
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "SKILL.md").write_text(f"---\nname: long\ndescription: Long.\n---\n{body}\n")
    skill, _ = read_skill(tmp_path / "long")
    began = time.process_time()
    assert skill.files == ()
    assert time.process_time() - began < 5
