"""The gallery: which runs it shows, in which order, and where its links lead."""

import re
from html import unescape

import pytest

from gems import Gems, GemsError, preset, run, write_gallery
from gems.context import nearest_preset
from gems.models.options import ModelOptions
from gems.runs.fork_tree import root_of, tree_order
from gems.storage.workspace import Workspace

PROMPT = "three red circles above a blue square"


def names(path):
    return re.findall(r'<li id="run-([^"]+)"', path.read_text())


def told(path, name):
    page = path.read_text()
    start = page.index(f'<li id="run-{name}"')
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", page[start : page.index("</li>", start)]).split()))


@pytest.fixture
def runs(tmp_path, make_sketcher):
    """Three runs and a fork of the first, which is the latest."""
    folder = tmp_path / "runs"
    run(PROMPT, thread="lost", runs=folder, image=make_sketcher(1.0), preset="loop", max_rounds=2, seed=3)
    run("a green star", thread="won", runs=folder, image=make_sketcher(0.0))
    run("a blue star", thread="asked", runs=folder, image=make_sketcher(0.0), review="plan")
    Gems(runs=folder, image=make_sketcher(0.0)).fork("lost", round=2, name="forked", seed=8)
    return folder


def test_a_card_tells_how_a_run_ended_and_what_it_took(runs):
    path = write_gallery(runs=runs)
    assert path == runs / "gallery.html"
    lost = told(path, "lost")
    assert re.search(rf"gave up \d/7 {PROMPT} lost 1 fork \S+ \S+ 2 rounds 2 images \d+ calls", lost), lost
    assert "loop, other max rounds shapes-chat sketcher" in lost
    assert "accepted 3/3 a green star won" in told(path, "won")
    assert "forked from lost at round 2" in told(path, "forked")
    assert "waiting a blue star asked" in told(path, "asked")


def test_the_latest_family_comes_first_and_the_fork_after_its_parent(runs):
    assert names(write_gallery(runs=runs)) == ["lost", "forked", "asked", "won"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"find": "STAR"}, ["asked", "won"]),
        ({"find": "forked"}, ["forked"]),
        ({"state": "waiting"}, ["asked"]),
        ({"state": "accepted", "find": "green"}, ["won"]),
        ({"state": "damaged"}, []),
    ],
)
def test_the_filters_of_the_list_of_runs(runs, filters, found):
    path = write_gallery(runs=runs, **filters)
    assert names(path) == found
    assert ("There is no such run" in path.read_text()) == (not found)


def test_a_fork_stands_after_its_parent_also_where_that_ended_later(tmp_path, make_sketcher):
    models = {"runs": tmp_path, "image": make_sketcher(0.0)}
    run("a red circle", thread="p", review="image", **models)
    client = Gems(**models)
    client.fork("p", round=1, name="a-fork", review="none")
    client.fork("a-fork", round=1, name="of-the-fork")
    client.fork("p", round=1, name="b-fork", review="none")
    client.resume("a-fork")
    client.resume("p", answer={"action": "accept"})
    assert names(write_gallery(runs=tmp_path)) == ["p", "a-fork", "of-the-fork", "b-fork"]


@pytest.mark.parametrize("there", [True, False])
def test_a_state_that_no_run_has_is_told(tmp_path, make_sketcher, there):
    if there:
        run("a red circle", runs=tmp_path, image=make_sketcher(0.0))
    for look in (write_gallery, lambda runs, state: Gems(runs=runs).list(state=state)):
        with pytest.raises(GemsError, match="there is no state 'nonsense': choose one of running, accepted, gave up, waiting"):
            look(runs=tmp_path, state="nonsense")


def test_no_run_can_be_where_the_gallery_is(tmp_path, make_sketcher):
    for name in ("gallery.html", "Gallery.HTML"):
        with pytest.raises(GemsError, match="something else of this name is in the folder of runs"):
            run("a red circle", thread=name, runs=tmp_path, image=make_sketcher(0.0))


def test_a_place_where_it_cannot_be_written_is_told_by_its_name(runs, command, tmp_path):
    with pytest.raises(GemsError, match=r"runs is a folder: name the file to write, such as .*runs/gallery\.html"):
        write_gallery(runs, runs=runs)
    (tmp_path / "file").touch()
    with pytest.raises(GemsError, match=r"file/page\.html cannot be written \(.+\): name another file to write"):
        write_gallery(tmp_path / "file" / "page.html", runs=runs)
    code, _, err = command("gallery", "--out", runs)
    assert (code, "is a folder" in " ".join(err.split())) == (2, True)


def test_links_lead_to_the_pages_from_wherever_it_is_written(runs, tmp_path):
    path = write_gallery(tmp_path / "elsewhere" / "page.html", runs=runs)
    assert 'href="../runs/won/report.html"' in path.read_text()
    (runs / "won" / "report.html").unlink()
    page = write_gallery(runs=runs).read_text()
    assert 'href="won/report.html"' not in page
    assert 'href="lost/report.html"' in page


def test_what_cannot_be_read_is_told_and_hides_nothing(runs):
    with Workspace(runs).database.open() as opened:
        opened.store.put(("gems", "runs"), "won", {"nothing": "of use"}, index=False)
    for image in (runs / "images").glob("*/*.png"):
        image.write_bytes(b"no picture")
    path = write_gallery(runs=runs)
    assert "damaged" in told(path, "won")
    assert "the manifest of run won is damaged" in told(path, "won")
    assert "image could not be read" in told(path, "lost")


def test_the_command_says_where_it_is(runs, command, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)
    code, out, _ = command("gallery", "--find", "star", "--out", "stars.html", "--open")
    assert (code, out) == (0, "written: stars.html\n")
    assert names(tmp_path / "stars.html") == ["asked", "won"]
    assert opened == [str(tmp_path / "stars.html")]
    code, _, err = command("gallery", "--state", "lost")
    assert (code, "choose one of running, accepted" in " ".join(err.split())) == (2, True)


def test_a_folder_that_is_not_there_is_told_and_an_empty_one_is_an_empty_page(tmp_path):
    with pytest.raises(GemsError, match="there is no folder"):
        write_gallery(runs=tmp_path / "nowhere")
    (tmp_path / "runs").mkdir()
    assert "There is no such run" in write_gallery(runs=tmp_path / "runs").read_text()


@pytest.mark.parametrize(
    ("name", "changes", "differs"),
    [
        ("paper", {}, []),
        ("loop", {"seed": 7}, ["seed"]),
        ("default", {"max_rounds": 9, "fuse": True}, ["max_rounds", "fuse"]),
    ],
)
def test_the_nearest_preset(name, changes, differs):
    assert nearest_preset(preset(name, **changes)) == (name, differs)


@pytest.mark.parametrize(
    ("chat", "image", "shown"),
    [
        ("shapes", "shapes", ("shapes-chat", "shapes-image")),
        ("openai:gpt-5.2", "diffusers:Tongyi-MAI/Z-Image-Turbo", ("gpt-5.2", "Tongyi-MAI/Z-Image-Turbo")),
        ("http://10.0.0.1:30000/v1#Qwen/Qwen3-VL-8B", "diffusers:/home/me/models/mine", ("Qwen/Qwen3-VL-8B", "mine")),
        ("custom:MyChat", "custom:sketcher", ("MyChat", "sketcher")),
    ],
)
def test_models_are_named_without_hosts_and_folders(chat, image, shown):
    options = ModelOptions.model_validate({"chat": {"model": chat}, "image": {"model": image}})
    assert tuple(options.names.values()) == shown


def test_a_family_is_told_from_its_eldest_on_also_where_that_is_gone():
    def child(thread, round):
        return {"parent": {"thread": thread, "round": round}}

    records = {"b": child("a", 3), "c": child("a", 2), "d": child("c", 1), "alone": {"parent": None}, "damaged": {}}
    assert root_of(records, "d") == "a"
    assert tree_order(records, "a") == [("a", 0, 0), ("c", 1, 2), ("d", 2, 1), ("b", 1, 3)]
    assert tree_order(records, "alone") == [("alone", 0, 0)]
    circle = {"x": child("y", 1), "y": child("x", 1)}
    assert {name for name, _, _ in tree_order(circle, root_of(circle, "x"))} == {"x", "y"}, "it comes to an end"
