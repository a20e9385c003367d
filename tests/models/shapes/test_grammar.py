import random
import subprocess
import sys

import pytest

from gems.errors import OutsideWorldError
from gems.models.shapes.grammar import ParsedRequest, choose_colors, choose_layout, describe_layout, layouts, parse_request, region
from gems.models.shapes.language import describe_spec, list_things_with_cells
from gems.models.shapes.world import COLORS, Relation, ThingGroup, choose_cells, lay_out_scene, sample_scene, sample_spec


def parsed(text):
    groups, relations, places = parse_request(text)
    said = [f"{g.count} {g.color or 'any'} {g.shape}" for g in groups]
    return said, [tuple(r) for r in relations], list(places)


def test_reading_undoes_saying_a_spec():
    for seed in range(1500):
        spec = sample_spec(random.Random(seed))
        parsed = ParsedRequest(spec.groups, spec.relations, (None,) * len(spec.groups))
        assert parse_request(describe_spec(spec)) == parsed, describe_spec(spec)


def test_reading_undoes_saying_a_layout():
    for seed in range(500):
        things = sample_scene(random.Random(seed)).things
        want = ParsedRequest(tuple(ThingGroup(1, t.color, t.shape) for t in things), (), tuple(t.cell for t in things))
        assert parse_request(list_things_with_cells(things)) == want


@pytest.mark.parametrize(
    ("text", "groups", "relations"),
    [
        ("three red circles above a blue square", ["3 red circle", "1 blue square"], [(0, "above", 1)]),
        ("draw me 3 red circles, please!", ["3 red circle"], []),
        ("I'd like a picture of a star on a plain white background.", ["1 any star"], []),
        ("a circle on the left of a square", ["1 any circle", "1 any square"], [(0, "left of", 1)]),
        ("a circle left of a square", ["1 any circle", "1 any square"], [(0, "left of", 1)]),
        ("a star under a circle", ["1 any star", "1 any circle"], [(0, "below", 1)]),
        ("a star beneath a circle", ["1 any star", "1 any circle"], [(0, "below", 1)]),
        ("a pair of stars over an orange circle", ["2 any star", "1 orange circle"], [(0, "above", 1)]),
        ("a triangle below a red star and below an orange square",
         ["1 any triangle", "1 red star", "1 orange square"], [(0, "below", 1), (0, "below", 2)]),
        ("two orange squares to the right of a red triangle, and three green circles",
         ["2 orange square", "1 red triangle", "3 green circle"], [(0, "right of", 1)]),
        ("a star above a circle to the left of a square",
         ["1 any star", "1 any circle", "1 any square"], [(0, "above", 1), (1, "left of", 2)]),
        ("a star above a circle and a square", ["1 any star", "1 any circle", "1 any square"], [(0, "above", 1), (0, "above", 2)]),
        ("a red circle and a blue square, the circle above the square", ["1 red circle", "1 blue square"], [(0, "above", 1)]),
        ("The red circle is to the left of the blue square", ["1 red circle", "1 blue square"], [(0, "left of", 1)]),
        ("a red circle with a blue square below it", ["1 red circle", "1 blue square"], [(1, "below", 0)]),
    ],
)  # fmt: skip
def test_relations_are_read(text, groups, relations):
    assert parsed(text) == (groups, relations, [None] * len(groups))


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a red circle at the top left, a blue square at the bottom", [0, 7]),
        ("a red circle in the top left corner and a star in the middle of the image", [0, 4]),
        ("a circle in the upper right-hand corner, a star in the centre", [2, 4]),
        ("a circle on the left of the picture and a star on the right side", [3, 5]),
        ("at the top left a red circle, in the center a blue square", [0, 4]),
        ("top left: a red circle, bottom: a star", [0, 7]),
        ("two red circles at the top and a star", [1, None]),
        ("a star above a square at the bottom", [None, 7]),
    ],
)
def test_places_are_read(text, places):
    assert parsed(text)[2] == places


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a dog", 'it cannot draw "dog"'),
        ("a horse on a beach", 'it cannot draw "horse"'),
        ("three pink circles", 'it cannot draw "pink"'),
        ("a red circle on a blue background", 'it cannot draw "background"'),
        ('"HELLO" above a circle', 'it cannot draw "HELLO"'),
        ("a red and blue circle", 'it cannot draw "red and"'),
        ("a circle 🎈", 'it cannot draw "🎈"'),
        ("五 circles", 'it cannot draw "五"'),
        ("12 circles", "it cannot draw 12 things"),
        ("five circles and five stars", "it cannot draw 10 things"),
        ("no circles", "not what to leave out"),
        ("red circles", 'how many "red circles"'),
        ("four circles at the top", "no room"),
        ("two stars at the top left", "no room"),
        ("a circle above a circle", "cannot tell"),
        ("a circle above", 'misses a shape after "above"'),
        ("above a circle", 'misses a shape before "above"'),
        ("a circle at the top at the left", "place a thing twice"),
        ("a circle below it", 'what "it" means'),
        ("please draw", 'nothing to draw in "please draw"'),
        ("", "nothing to draw"),
    ],
)
def test_outside_the_world_is_said_plainly(text, told):
    with pytest.raises(OutsideWorldError) as caught:
        parse_request(text)
    message = str(caught.value)
    assert told in message
    assert message.startswith(
        "shapes world draws circles, squares, triangles and stars in red, orange, yellow, green, blue and purple, up to six"
    )
    assert message.endswith("for anything else use real models: --chat and --image")
    assert "\n" not in message


def test_layouts_meet_relations_and_places():
    request = parse_request("three red circles above a blue square, and two stars on the left")
    found = list(layouts(request))
    assert len(found) == len(set(found)) > 10
    for *circles, square, one, other in found:
        assert max(c // 3 for c in circles) < square // 3
        assert {one % 3, other % 3} == {0}
        assert len({*circles, square, one, other}) == 6


def test_layouts_are_as_the_world_places_them():
    for seed in range(60):
        spec = sample_spec(random.Random(seed))
        cells = choose_cells(spec, random.Random(seed), tries=3000)
        request = ParsedRequest(spec.groups, spec.relations, (None,) * len(spec.groups))
        if cells is None:
            continue
        start, wanted = 0, []
        for group in spec.groups:
            wanted += sorted(cells[start : start + group.count])
            start += group.count
        assert tuple(wanted) in set(layouts(request))


def test_layouts_in_random_order_are_the_same_layouts():
    request = parse_request("two circles to the left of a star")
    shuffled = list(layouts(request, random.Random(1)))
    assert shuffled != list(layouts(request))
    assert sorted(shuffled) == sorted(layouts(request))
    assert shuffled == list(layouts(request, random.Random(1)))


def test_an_impossible_request_has_no_layout():
    request = ParsedRequest(
        (ThingGroup(1, None, "circle"), ThingGroup(1, None, "star")),
        (Relation(0, "above", 1), Relation(0, "below", 1)),
        (None, None),
    )
    assert list(layouts(request)) == []
    assert choose_layout(request, random.Random(0)) is None


def test_a_refiner_keeps_what_worked_and_avoids_what_failed():
    request = parse_request("two red circles above a blue square")
    rng = random.Random(0)
    for _ in range(20):
        cells = choose_layout(request, rng, keep={0: [1]}, forbidden=[0, 1, 8])
        assert 1 in cells[:2]
        assert not {0, 8} & set(cells)
        assert cells[2] != 1
    tried = []
    while (cells := choose_layout(request, rng, keep={1: [4]}, avoid=tried)) is not None:
        tried.append(cells)
    assert sorted(tried) == [(0, 1, 4), (0, 2, 4), (1, 2, 4)]


def test_a_description_is_in_the_words_the_image_model_learnt():
    request = parse_request("two red circles above a square")
    assert (
        describe_layout(request, (0, 1, 7), ("red", "blue"))
        == "a red circle at the top left, a red circle at the top, a blue square at the bottom"
    )
    assert describe_layout(request, (0, 4, 7)).endswith("a red circle in the center, a square at the bottom")
    scene = lay_out_scene(request.spec, random.Random(3))
    cells = [t.cell for t in scene.things]
    assert describe_layout(request, cells, [None, scene.things[-1].color]) == list_things_with_cells(scene.things)


def test_open_colours_are_chosen_apart_from_the_others():
    request = parse_request("a red circle and a circle and a star")
    for seed in range(30):
        colors = choose_colors(request, random.Random(seed))
        assert colors[0] == "red"
        assert len(set(colors)) == 3
        assert set(colors) <= set(COLORS)


def test_a_place_for_several_is_a_row_or_column():
    assert region(1, True) == (0, 1, 2)
    assert region(5, True) == (2, 5, 8)
    assert region(1, False) == (1,)
    assert region(4, True) == (4,)


def test_reading_needs_no_heavy_imports():
    code = "import sys, gems.models.shapes.questions; print(sorted({'torch', 'scipy', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
