"""Images as official scorers want them."""

import io
from pathlib import Path

from PIL import Image

from gems.evaluation.benchmarks.base import BenchmarkImage, Sample
from gems.evaluation.benchmarks.dpg import BENCHMARKS
from gems.evaluation.official_layouts import first_images, group_by_sample, image_grid, write_file


def png(color: str, size: tuple[int, int] = (4, 4)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


def test_pictures_are_gathered_by_sample_in_their_order() -> None:
    one, two = Sample(id="1", prompt="a"), Sample(id="2", prompt="b")
    pictures = [BenchmarkImage(two, 1, b"x"), BenchmarkImage(two, 0, None), BenchmarkImage(one, 0, b"y")]
    assert list(group_by_sample(iter(pictures))) == [(two, [None, b"x"]), (one, [b"y"])]


def test_a_grid_is_filled_row_by_row() -> None:
    whole = image_grid([png("red"), png("lime"), png("blue"), png("white")])
    assert whole is not None
    assert whole.size == (8, 8)
    assert [whole.getpixel(at) for at in ((1, 1), (5, 1), (1, 5), (5, 5))] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 255),
    ]


def test_a_missing_image_leaves_its_cell_black_and_others_where_they_are() -> None:
    whole = image_grid([None, png("lime"), png("blue")])
    assert whole is not None
    assert [whole.getpixel(at) for at in ((1, 1), (5, 1), (1, 5), (5, 5))] == [(0, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)]
    assert image_grid([None, None]) is None
    assert image_grid([]) is None


def test_another_size_is_brought_to_the_first_and_too_many_are_left_out() -> None:
    whole = image_grid([png("red"), png("lime", (9, 3)), *[png("blue")] * 4])
    assert whole is not None
    assert whole.size == (8, 8)
    assert whole.getpixel((6, 2)) == (0, 255, 0)
    one = image_grid([png("red"), png("lime")], columns=1, cells=1)
    assert one is not None
    assert one.size == (4, 4)


def test_folders_are_made_as_needed(tmp_path: Path) -> None:
    write_file(tmp_path / "a" / "b" / "c.png", b"x")
    assert (tmp_path / "a" / "b" / "c.png").read_bytes() == b"x"


def test_the_first_of_each_is_given_and_the_others_are_told() -> None:
    one, two = Sample(id="1", prompt="a"), Sample(id="2", prompt="b")
    told: list[str] = []
    pictures = [BenchmarkImage(one, 0, b"x"), BenchmarkImage(one, 1, b"y"), BenchmarkImage(two, 0, None)]
    assert list(first_images(pictures, told)) == [(one, b"x"), (two, None)]
    assert told == ["only the first of 2 images a prompt are here: the official script takes one"]


def test_dsg_and_dpg_tell_which_images_are_left_out(tmp_path: Path) -> None:
    dpg, dsg = BENCHMARKS
    sample = Sample(id="1", prompt="a")
    told = dsg.export(tmp_path, [BenchmarkImage(sample, n, png("red")) for n in range(2)])
    assert told == ["only the first of 2 images a prompt are here: the official script takes one"]
    told = dpg.export(tmp_path, [BenchmarkImage(sample, n, png("red")) for n in range(6)])
    assert "--resolution 4 --pic-num 4," in told[0]
    assert told[1] == "only the first four of 6 images a prompt are in the grids"
