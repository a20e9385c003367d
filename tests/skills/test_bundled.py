"""The bundled skills: valid by the standard, of a size that fits a prompt, and consistent with what the loop promises."""

import re

import pytest
import skills_ref

from gems.skills import SkillLibrary, validate

LIBRARY = SkillLibrary.load()
every_skill = pytest.mark.parametrize("skill", LIBRARY.skills, ids=lambda skill: skill.name)

PLACES = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")


def test_all_six_are_there():
    assert LIBRARY.names == (
        "aesthetic-drawing",
        "counting",
        "creative-drawing",
        "spatial-layout",
        "text-rendering",
        "world-knowledge",
    )
    assert LIBRARY.problems == LIBRARY.warnings == ()


@every_skill
def test_it_validates(skill):
    assert validate(skill.path) == []


@every_skill
def test_it_validates_by_the_reference_implementation(skill):
    assert skills_ref.validate(skill.path) == []


@every_skill
def test_it_fits_a_prompt(skill):
    assert 60 <= len(skill.body.splitlines()) <= 150
    assert len(skill.body) / 3.5 < 5000  # characters a token, on the low side for English
    assert len(skill.description) <= 500


@every_skill
def test_it_says_when_not_to_use_it(skill):
    assert "Use it " in skill.description
    assert "Do not use it " in skill.description
    for heading in ("## Use it, or leave it", "## Method", "## Examples", "## When a check fails", "## Check yourself"):
        assert heading in skill.body
    assert "(leave it" in skill.body


@every_skill
def test_it_has_references_that_the_body_names(skill):
    assert skill.references
    for file in skill.references:
        assert file in skill.body
        assert skill.read(file).startswith("# ")


@every_skill
def test_its_examples_keep_quoted_strings(skill):
    examples = re.findall(r"^Request: (.+?)\n.*?^Prompt: (.+?)(?=\n\n)", skill.body, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 2
    for request, prompt in examples:
        for quoted in re.findall(r'"[^"]+"', request):
            assert quoted in prompt


@pytest.mark.parametrize("name", ["spatial-layout", "counting"])
def test_it_covers_small_generators(name):
    body = LIBRARY.get(name).body
    assert "`a red circle at the top left, a red circle at the top, a blue square at the bottom`" in body
    section = body[body.index("## Small generators") : body.index("## When a check fails")]
    assert ", ".join(PLACES) in " ".join(section.split())


def test_the_small_generators_lists_give_each_place_once():
    for name in ("spatial-layout", "counting"):
        for listing in re.findall(r"`(an? (?:red|green|blue|yellow) [^`]+)`", LIBRARY.get(name).body):
            places = re.findall(r"at the ([a-z ]+?)(?:,|$)", listing)
            assert len(places) == len(set(places)) == listing.count(",") + 1
            assert set(places) <= set(PLACES)
