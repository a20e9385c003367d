"""The library: what is loaded, what wins, what is told of broken skills, and what may be read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gems.errors import GemsError
from gems.skills import Skill, SkillError, SkillLibrary, new, validate

BUNDLED = SkillLibrary.load().names


def test_a_users_skill_joins_the_bundled_ones(write_skill):
    library = SkillLibrary.load([write_skill().parent])

    assert library.names == tuple(sorted([*BUNDLED, "fog"]))
    assert len(library) == len(BUNDLED) + 1
    assert [skill.name for skill in library] == list(library.names)
    assert library.problems == library.warnings == ()
    assert library.get("fog").body == "Write fog."


def test_a_folder_may_be_a_skill_itself(write_skill):
    assert "fog" in SkillLibrary.load([write_skill()]).names


def test_the_body_is_read_from_disk_each_time(write_skill):
    folder = write_skill()
    skill = SkillLibrary.load([folder]).get("fog")
    (folder / "SKILL.md").write_text("---\nname: fog\ndescription: x\n---\nThicker.", encoding="utf-8")
    assert skill.body == "Thicker."

    (folder / "SKILL.md").unlink()
    with pytest.raises(SkillError, match=r"^skill 'fog': SKILL.md:1: the file cannot be read"):
        _ = skill.body


def test_a_body_may_hold_rules_and_windows_line_ends(write_skill):
    folder = write_skill()
    (folder / "SKILL.md").write_bytes("\ufeff---\r\nname: fog\r\ndescription: Adds fog.\r\n---\r\nOne\r\n---\r\nTwo\r\n".encode())
    assert SkillLibrary.load([folder]).get("fog").body == "One\n---\nTwo"


def test_front_matter_is_text_throughout(write_skill):
    front = 'name: "2024"\ndescription: yes\nmetadata: {version: 1.0, by: me}\nallowed-tools: a b\nlicense: MIT'
    skill = SkillLibrary.load([write_skill("2024", front=front)]).get("2024")
    assert (skill.description, skill.metadata, skill.allowed_tools) == ("yes", {"version": "1.0", "by": "me"}, ("a", "b"))
    assert skill.license == "MIT"
    assert len({skill, skill}) == 1


def test_later_sources_win(write_skill, monkeypatch, tmp_path):
    for parent in ("env", "first", "second"):
        write_skill("counting", description=parent, parent=parent)
    bundled = SkillLibrary.load().get("counting").description

    def described(*folders):
        return SkillLibrary.load([tmp_path / f for f in folders]).get("counting").description

    assert bundled not in {"env", "first", "second"}
    assert described("first") == "first"
    assert described("first", "second") == "second"
    assert described("second", "first", "second") == "second"
    monkeypatch.setenv("GEMS_SKILLS", str(tmp_path / "env"))
    assert described() == "env"
    assert described("first") == "first"


def test_the_variable_takes_several_folders(write_skill, monkeypatch):
    folders = [write_skill("fog").parent, write_skill("snow", parent="more")]
    monkeypatch.setenv("GEMS_SKILLS", os.pathsep.join([*map(str, folders), ""]))
    assert {"fog", "snow"} <= set(SkillLibrary.load().names)


def test_a_missing_folder_is_an_error_of_one_line(tmp_path, monkeypatch):
    with pytest.raises(SkillError, match=r"^the folder of skills .*nowhere does not exist: create it, or leave it out$"):
        SkillLibrary.load([tmp_path / "nowhere"])
    (tmp_path / "file").touch()
    with pytest.raises(GemsError, match="is not a folder"):
        SkillLibrary.load([tmp_path / "file"])
    monkeypatch.setenv("GEMS_SKILLS", str(tmp_path / "nowhere"))
    with pytest.raises(SkillError, match="nowhere, named in GEMS_SKILLS, does not exist"):
        SkillLibrary.load()


def test_a_folder_without_skills_is_a_warning(tmp_path):
    library = SkillLibrary.load([tmp_path])
    assert library.names == BUNDLED
    assert [str(w) for w in library.warnings] == [
        f"{tmp_path}/SKILL.md:1: no skill here: neither this folder nor one in it has a SKILL.md"
    ]


@pytest.mark.parametrize(
    ("front", "line", "reason"),
    [
        ("name: fog\ndescription: a: b", 3, "the front matter is not YAML: mapping values are not allowed here; put a value"),
        ('name: fog\n\ndescription: "open\nlicense: MIT', 4, "unexpected end of stream"),
        ("name: fog\ndescription: Adds fog.\nmetadata:\n\t- x", 5, "not YAML"),
        ("name: fog\ndescription: a\x07b", 3, "a character that YAML does not allow"),
        ("- name\n- description", 2, "must hold lines of the form key: value"),
        ("", 1, "the front matter is empty"),
        ("[" * 3000, 2, "nested too deeply"),
        ("name: fog", 1, "description is missing"),
        ("# who\nname: mist\ndescription: Adds fog.", 3, "name 'mist' differs from the folder's name 'fog'"),
        ("description: Adds fog.\nname: Fog_1", 3, "may hold lowercase letters"),
        ("name: fog--bank\ndescription: Adds fog.", 2, "single hyphens"),
        (f"name: {'x' * 65}\ndescription: Adds fog.", 2, "name has 65 characters: at most 64"),
        (f"name: fog\ndescription: {'x' * 1025}", 3, "description has 1025 characters: at most 1024"),
        ("name: fog\ndescription:", 3, "description is empty"),
        ("name: fog\ndescription: [a, b]", 3, "description must be text, not a list"),
        ("name: fog\ndescription: a\nname: fog", 4, "name is given twice"),
        ("name: fog\ndescription: a\nmetadata: x", 4, "metadata must hold lines"),
        ("name: fog\ndescription: a\nmetadata:\n  by: me\n  deep: {a: b}", 4, "metadata.deep must be text, not a mapping"),
        (f"name: fog\ndescription: a\ncompatibility: {'x' * 501}", 4, "at most 500"),
    ],
)
def test_a_fault_is_told_with_its_line_in_the_file(write_skill, front, line, reason):
    folder = write_skill(front=front)
    problems = validate(folder)
    assert (problems[0].file, problems[0].line) == (folder / "SKILL.md", line)
    assert reason in problems[0].reason
    assert not problems[0].cosmetic
    assert str(problems[0]) == f"{folder}/SKILL.md:{line}: {problems[0].reason}"
    assert "\n" not in str(problems[0])


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"# Skill: fog\n", 1, "must begin with a line ---"),
        (b"---\nname: fog\n", 1, "has no end"),
        (b"", 1, "must begin"),
        (b"---\nname: fog\ndescription: \xff\n---\n", 3, "not UTF-8"),
        (b"x" * 500_001, 1, "at most 500000 are read"),
    ],
)
def test_a_file_that_is_no_skill_is_told(write_skill, data, line, reason):
    folder = write_skill()
    (folder / "SKILL.md").write_bytes(data)
    (problem,) = validate(folder)
    assert problem.line == line
    assert reason in problem.reason


def test_every_fault_of_a_file_is_told_at_once(write_skill):
    folder = write_skill(front="name: Fog\ndescription:\nmetadata: x")
    assert [problem.line for problem in validate(folder)] == [2, 2, 3, 4]


def test_a_folder_of_skills_is_validated_skill_by_skill(write_skill):
    write_skill("bad", front="name: bad")
    write_skill("worse", front="name: [")
    assert {problem.file.parent.name for problem in validate(write_skill("fog").parent)} == {"bad", "worse"}


def test_a_folder_without_skills_is_not_valid_and_says_so(tmp_path):
    assert [str(p) for p in validate(tmp_path)] == [
        f"{tmp_path}/SKILL.md:1: no skill here: neither this folder nor one in it has a SKILL.md"
    ]
    with pytest.raises(SkillError, match="nowhere does not exist"):
        validate(tmp_path / "nowhere")


def test_a_broken_skill_does_not_stop_the_others(write_skill):
    write_skill("bad", front="name: [")
    write_skill("counting", front="name: counting\ndescription:")
    library = SkillLibrary.load([write_skill("fog").parent])

    assert library.names == tuple(sorted([*BUNDLED, "fog"]))
    assert {problem.file.parent.name for problem in library.problems} == {"bad", "counting"}
    assert library.get("counting").description


@pytest.mark.parametrize(
    ("skill", "line", "reason"),
    [
        ({"front": "name: fog\ndescription: x\nauthor: me"}, 4, "unknown key 'author' is ignored"),
        ({"body": "x\n" * 501}, 506, "the body has 501 lines"),
        ({"body": ""}, 4, "the body is empty"),
        ({"front": "name: fog\ndescription: x\nallowed-tools: [a]"}, 4, "not a list"),
        ({"body": "One.\nSee `references/more.md`."}, 7, "the body names references/more.md, which the skill does not have"),
    ],
)
def test_a_cosmetic_fault_is_a_warning(write_skill, skill, line, reason):
    library = SkillLibrary.load([write_skill(**skill)])
    (warning,) = library.warnings
    assert "fog" in library.names
    assert library.problems == ()
    assert (warning.line, warning.cosmetic) == (line, True)
    assert reason in warning.reason


def test_an_unknown_name_lists_the_names():
    with pytest.raises(SkillError, match=r"^unknown skill 'cuonting': choose one of aesthetic-drawing, counting, "):
        SkillLibrary.load().get("cuonting")
    with pytest.raises(SkillError, match=r"\(none\)"):
        SkillLibrary().get("counting")


def test_the_catalog_has_a_line_for_each_skill(write_skill):
    folder = write_skill("fog", front="name: fog\ndescription: >\n  Adds fog.\n  Use it\n  outdoors.")
    lines = SkillLibrary.load([folder]).catalog().splitlines()
    assert len(lines) == len(BUNDLED) + 1
    assert "- fog: Adds fog. Use it outdoors." in lines
    assert SkillLibrary().catalog() == ""


def test_references_are_read_by_their_names(write_skill):
    skill = SkillLibrary.load([write_skill(references={"b.md": "bee", "a.md": "ay"})]).get("fog")
    assert skill.references == ("references/a.md", "references/b.md")
    assert skill.read("references/b.md") == "bee"
    assert skill.read("SKILL.md").startswith("---\nname: fog")


@pytest.fixture
def guarded(write_skill, tmp_path) -> Skill:
    """A skill with one reference, and every way out of its folder."""
    folder = write_skill(references={"a.md": "ay"})
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key.md").write_text("secret")
    (folder / "references" / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "references" / "dir").symlink_to(tmp_path / "private")
    (folder / "references" / "loop.md").symlink_to(folder / "references" / "loop.md")
    (folder / "references" / "inner.md").symlink_to(folder / "references" / "a.md")
    (folder / ".hidden").write_text("secret")
    return SkillLibrary.load([folder]).get("fog")


@pytest.mark.parametrize(
    "file",
    [
        "../../secret.md",
        "references/../../../secret.md",
        "references/../SKILL.md",
        "{outside}/secret.md",
        "{skill}/SKILL.md",
        "references/link.md",
        "references/dir/key.md",
        "references/loop.md",
        "references",
        "references\\a.md",
        ".hidden",
        "missing.md",
        "",
        "a\0b",
        "x" * 5000,
    ],
)
def test_nothing_outside_the_folder_is_read(guarded, tmp_path, file):
    file = file.replace("{outside}", str(tmp_path)).replace("{skill}", str(guarded.path))
    with pytest.raises(SkillError, match=r"^skill 'fog' has no file ") as caught:
        guarded.read(file)
    assert repr(file) in str(caught.value)
    assert str(caught.value).endswith(": choose one of references/a.md, references/inner.md")


def test_a_link_that_stays_inside_is_read(guarded):
    assert guarded.read("references/inner.md") == "ay"


def test_a_linked_skill_folder_is_a_skill(write_skill, tmp_path):
    folder = write_skill(references={"a.md": "ay"})
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "fog").symlink_to(folder)
    assert SkillLibrary.load([tmp_path / "links"]).get("fog").read("references/a.md") == "ay"


def test_a_skill_outlives_a_change_of_directory(write_skill, monkeypatch, tmp_path):
    monkeypatch.chdir(write_skill())
    skill = SkillLibrary.load([Path()]).get("fog")
    monkeypatch.chdir(tmp_path)
    assert skill.body == "Write fog."


def test_a_new_skill_validates_and_loads(tmp_path):
    folder = new("night-scenes", tmp_path / "mine")
    assert folder == tmp_path / "mine" / "night-scenes"
    assert validate(folder) == []
    assert SkillLibrary.load([folder.parent]).get("night-scenes").body.startswith("# Night scenes")


def test_new_refuses_what_exists_and_what_is_no_name(tmp_path):
    new("fog", tmp_path)
    with pytest.raises(SkillError, match="fog exists: choose another name"):
        new("fog", tmp_path)
    for name in ("Fog", "a--b", "-a", "a_b", "../up", "", "x" * 65, "fog\n"):
        with pytest.raises(SkillError, match=r"^name "):
            new(name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fog"]
    with pytest.raises(SkillError, match="cannot be created"):
        new("deep", tmp_path / "fog" / "SKILL.md")


def test_importing_the_skills_is_light():
    code = "import sys, gems.skills; print([m for m in ('langgraph', 'torch', 'transformers', 'diffusers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_folders_are_taken_in_place_of_a_library(tmp_path, sketcher):
    from gems import run
    from gems.skills import new

    new("origami", tmp_path / "mine")
    assert "origami" in SkillLibrary.of([tmp_path / "mine"]).names
    result = run("a red circle", image=sketcher, runs=tmp_path / "runs", skills=[tmp_path / "mine"], preset="original")
    assert result.decision in {"accept", "give up"}
    assert not any("skill" in note for note in result.state.notes)
    result = run("a red circle", image=sketcher, runs=tmp_path / "runs", skills=[tmp_path / "runs"], preset="original")
    assert result.state.notes[:1] == ["skill: runs/SKILL.md:1: no skill here: neither this folder nor one in it has a SKILL.md"]
