import random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from gems.models.shapes.perception import perceive
from gems.models.shapes.world import BACKGROUND, COLORS, SHAPES, SIZE, DrawnThing, center_of, draw, sample_scene


def thing(shape, color, x, y, radius=13.5):
    return DrawnThing(shape, color, 0, x, y, radius)


def shown(seen):
    return sorted((s.shape, s.color) for s in seen)


def found(things, seen):
    """How many things were seen as what they are where they are; a thing seen twice counts once."""
    left, right = list(seen), 0
    for t in things:
        hit = next(
            (s for s in left if (s.shape, s.color) == (t.shape, t.color) and abs(s.x - t.x) < 5 and abs(s.y - t.y) < 5), None
        )
        if hit:
            left.remove(hit)
            right += 1
    return right, len(left)


def worn(image, seed):
    """Blur, shift the colours a little, and add noise: what a small diffusion model does to a drawing."""
    noise = np.random.default_rng(seed)
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(1)), dtype=float)
    pixels = pixels + noise.integers(-12, 13, 3) + noise.integers(-8, 9, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype("uint8"))


def accuracy(scenes, change):
    total = right = extra = 0
    for seed in scenes:
        scene = sample_scene(random.Random(seed))
        hits, spare = found(scene.things, perceive(change(draw(scene.things), seed)))
        total, right, extra = total + len(scene.things), right + hits, extra + spare
    return right / total, extra / total


def test_drawn_scenes_are_seen_as_they_are():
    right, extra = accuracy(range(150), lambda image, seed: image)
    assert right >= 0.995
    assert extra <= 0.005


def test_worn_scenes_are_seen_as_they_are():
    right, extra = accuracy(range(1000, 1150), worn)
    assert right >= 0.98
    assert extra <= 0.02


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (512, 512), (300, 300)])
def test_other_sizes_are_scaled(size):
    right, extra = accuracy(range(20), lambda image, seed: image.resize(size))
    assert (right, extra) == (1.0, 0.0)


def test_measures_are_those_of_the_thing():
    (seen,) = perceive(draw([thing("square", "blue", 40, 88, 14)]))
    assert (seen.shape, seen.color) == ("square", "blue")
    assert (seen.x, seen.y) == (pytest.approx(40, abs=0.6), pytest.approx(88, abs=0.6))
    assert (seen.width, seen.height) == (pytest.approx(25.2, abs=1.5), pytest.approx(25.2, abs=1.5))
    assert seen.area == pytest.approx(25.2**2, rel=0.1)
    assert seen.certainty > 0.9


def test_reading_order_is_row_by_row():
    cells = [7, 0, 5, 2, 3]
    seen = perceive(draw([DrawnThing("circle", "red", c, *center_of(c), 13) for c in cells]))
    assert [(round(s.x), round(s.y)) for s in seen] == [center_of(c) for c in sorted(cells)]


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize(
    "colors", [("red", "orange"), ("red", "blue"), ("orange", "yellow"), ("blue", "purple"), ("green", "yellow")]
)
def test_touching_things_of_different_colours_are_two(colors, across):
    for one in SHAPES:
        for other in SHAPES:
            beside = (77, 50) if across else (50, 77)
            image = draw([thing(one, colors[0], 50, 50), thing(other, colors[1], *beside)]).filter(ImageFilter.GaussianBlur(0.7))
            assert shown(perceive(image)) == sorted([(one, colors[0]), (other, colors[1])])


def test_touching_things_of_one_colour_are_cut_at_the_waist():
    image = draw([thing("circle", "green", 40, 50), thing("circle", "green", 66, 50), thing("circle", "green", 53, 74)])
    assert shown(perceive(image)) == [("circle", "green")] * 3


def test_specks_are_ignored():
    image = draw([thing("star", "red", 64, 64)])
    ImageDraw.Draw(image).rectangle((10, 10, 14, 14), fill=COLORS["blue"])
    assert shown(perceive(image)) == [("star", "red")]


def test_a_thing_of_two_colours_is_one_thing_of_no_clear_colour():
    left, right = (np.asarray(draw([thing("circle", color, 64, 64)])) for color in ("red", "blue"))
    seen = perceive(Image.fromarray(np.where(np.arange(SIZE)[None, :, None] < 64, left, right)))
    assert [s.shape for s in seen] == ["circle"]
    assert seen[0].certainty < 0.15


@pytest.mark.parametrize("color", [(0, 0, 0), (128, 128, 128), (90, 50, 20), (120, 200, 230)])
def test_colours_off_the_palette_are_uncertain(color):
    image = Image.new("RGB", (SIZE, SIZE), BACKGROUND)
    ImageDraw.Draw(image).ellipse((50, 50, 77, 77), fill=color)
    assert all(s.certainty < 0.15 for s in perceive(image))


def test_a_bent_shape_is_less_certain_than_a_clean_one():
    image = draw([thing("square", "red", 64, 64)])
    ImageDraw.Draw(image).polygon([(50, 50), (68, 50), (50, 68)], fill=BACKGROUND)
    assert perceive(image)[0].certainty < perceive(draw([thing("square", "red", 64, 64)]))[0].certainty


@pytest.mark.parametrize("color", [BACKGROUND, (255, 255, 255)])
def test_an_empty_image_shows_nothing(color):
    assert perceive(Image.new("RGB", (SIZE, SIZE), color)) == []


def test_noise_and_darkness_show_nothing_clear():
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype("uint8")
    for image in (Image.fromarray(noise), Image.new("RGB", (SIZE, SIZE), (0, 0, 0)), Image.new("L", (50, 90), 0)):
        assert all(s.certainty < 0.15 for s in perceive(image))
