"""Where a benchmark's files come from, over a real HTTP server on loopback."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gems.errors import BenchmarkError
from gems.evaluation import downloads
from gems.evaluation.benchmarks.base import Benchmark, Metric, Sample, Source
from gems.evaluation.downloads import cache_folder, content_digest, fetch

PROMPTS = b'{"prompt": "a red circle"}\n'
SHA = hashlib.sha256(PROMPTS).hexdigest()


class Small(Benchmark):
    name = "small"
    title = "Small"

    def __init__(self, *sources: Source) -> None:
        self.sources = sources

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        return [Sample(id="0", prompt=files["prompts.jsonl"].read_text())]

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        return []


class Web:
    """Serves bytes by path, and counts who asked for what."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/prompts.jsonl": PROMPTS}
        self.asked: list[str] = []
        self.short = False
        self.content_type = "application/octet-stream"
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(self.path)
                if self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", "/prompts.jsonl")
                    self.end_headers()
                    return
                body = web.files.get(self.path)
                self.send_response(200 if body is not None else 404)
                body = body if body is not None else b"no such file"
                self.send_header("Content-Type", web.content_type)
                self.send_header("Content-Length", str(len(body) + (10 if web.short else 0)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def source(self, file: str = "prompts.jsonl", path: str | None = None, **more: object) -> Source:
        given = {"licence": "MIT", "origin": "us/small @ 1234567", **more}
        return Source(file=file, url=self.url + (path or f"/{file}"), **given)


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def said() -> list[str]:
    return []


def leftovers(cache: Path) -> list[str]:
    return sorted(p.name for p in cache.rglob("*") if p.is_file() or p.name.startswith(".part-"))


def test_a_free_file_is_fetched_once_and_its_licence_is_said_before(web: Web, tmp_path: Path, said: list[str]) -> None:
    small = Small(web.source(sha256=SHA))
    first = fetch(small, None, cache=tmp_path, say=said.append)
    assert first.files["prompts.jsonl"] == tmp_path / "benchmarks" / "small" / "prompts.jsonl"
    assert first.files["prompts.jsonl"].read_bytes() == PROMPTS
    assert first.digests == {"prompts.jsonl": SHA}
    assert len(said) == 1
    assert all(word in said[0] for word in ("prompts.jsonl", "MIT", "us/small @ 1234567", web.url))
    again = fetch(small, None, cache=tmp_path, say=said.append)
    assert again == first
    assert web.asked == ["/prompts.jsonl"]
    assert leftovers(tmp_path) == ["prompts.jsonl"]


def test_a_redirect_is_followed(web: Web, tmp_path: Path, said: list[str]) -> None:
    small = Small(web.source(path="/moved", sha256=SHA))
    assert fetch(small, None, cache=tmp_path, say=said.append).digests == {"prompts.jsonl": SHA}


def test_a_damaged_file_in_the_cache_is_fetched_again(web: Web, tmp_path: Path, said: list[str]) -> None:
    small = Small(web.source(sha256=SHA))
    kept = fetch(small, None, cache=tmp_path, say=said.append).files["prompts.jsonl"]
    kept.write_bytes(b"torn")
    assert fetch(small, None, cache=tmp_path, say=said.append).files["prompts.jsonl"].read_bytes() == PROMPTS


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("CC-BY-NC-4.0", ("not for commercial purposes", "--accept-licence CC-BY-NC-4.0", "--data")),
        ("none stated", ("no permission", "ask them", '--accept-licence "none stated"', "--data")),
        ("GPL-3.0-only", ("Read it at its origin", "--accept-licence GPL-3.0-only", "--data")),
    ],
)
def test_a_licence_that_is_not_free_needs_consent(
    web: Web, tmp_path: Path, said: list[str], licence: str, words: tuple[str, ...]
) -> None:
    small = Small(web.source(licence=licence))
    with pytest.raises(BenchmarkError) as error:
        fetch(small, None, accept=["Apache-2.0"], cache=tmp_path, say=said.append)
    assert all(word in str(error.value) for word in (*words, "us/small @ 1234567", licence))
    assert web.asked == []
    found = fetch(small, None, accept=[licence.lower()], cache=tmp_path, say=said.append)
    assert found.digests == {"prompts.jsonl": SHA}
    assert licence in said[0]
    assert fetch(small, None, cache=tmp_path, say=said.append) == found, "consent was given when it was fetched"


def test_nothing_is_fetched_before_every_needed_licence_is_accepted(web: Web, tmp_path: Path, said: list[str]) -> None:
    small = Small(web.source(), web.source("more.json", licence="none stated"))
    with pytest.raises(BenchmarkError, match=r"more\.json"):
        fetch(small, None, cache=tmp_path, say=said.append)
    assert web.asked == []


def test_another_file_than_expected_is_not_kept(web: Web, tmp_path: Path, said: list[str]) -> None:
    web.files["/prompts.jsonl"] = b"something else"
    with pytest.raises(BenchmarkError, match=rf"another file than expected.*{SHA}.*--data"):
        fetch(Small(web.source(sha256=SHA)), None, cache=tmp_path, say=said.append)
    assert leftovers(tmp_path) == []


def test_a_download_that_breaks_off_is_not_kept(web: Web, tmp_path: Path, said: list[str]) -> None:
    web.short = True
    with pytest.raises(BenchmarkError, match=r"cannot fetch http.*--data"):
        fetch(Small(web.source()), None, cache=tmp_path, say=said.append)
    assert leftovers(tmp_path) == []


def test_a_file_larger_than_the_limit_is_refused(
    web: Web, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MAX_DOWNLOAD", 2**20)
    web.files["/prompts.jsonl"] = bytes(2**20 + 1)
    with pytest.raises(BenchmarkError, match=r"larger than 1 MiB.*--data"):
        fetch(Small(web.source()), None, cache=tmp_path, say=said.append)
    assert leftovers(tmp_path) == []


def test_without_network_the_error_tells_the_url_and_the_way_out(web: Web, tmp_path: Path, said: list[str]) -> None:
    web.server.shutdown()
    web.server.server_close()
    with pytest.raises(BenchmarkError, match=rf"cannot fetch {web.url}/prompts\.jsonl.*network.*--data"):
        fetch(Small(web.source()), None, cache=tmp_path, say=said.append)


def test_a_missing_page_names_the_status(web: Web, tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(BenchmarkError, match="404"):
        fetch(Small(web.source(path="/gone")), None, cache=tmp_path, say=said.append)


def test_optional_files_are_done_without(web: Web, tmp_path: Path, said: list[str]) -> None:
    small = Small(
        web.source(), web.source("gone.json", optional=True), web.source("nc.json", optional=True, licence="CC-BY-NC-4.0")
    )
    assert set(fetch(small, None, cache=tmp_path, say=said.append).files) == {"prompts.jsonl"}
    assert any("gone.json is left out" in text and "404" in text for text in said)
    assert any("nc.json is left out" in text and "--accept-licence CC-BY-NC-4.0" in text for text in said)
    assert "/nc.json" not in web.asked


def test_a_file_in_a_folder_is_fetched_into_one(web: Web, tmp_path: Path, said: list[str]) -> None:
    web.files["/scripts/text/content.csv"] = b"id,text_content\n"
    files = fetch(Small(web.source(), web.source("scripts/text/content.csv")), None, cache=tmp_path, say=said.append).files
    assert files["scripts/text/content.csv"].read_bytes() == b"id,text_content\n"


def test_a_web_page_in_place_of_the_file_is_not_kept(web: Web, tmp_path: Path, said: list[str]) -> None:
    web.files["/prompts.jsonl"] = b"<html>Please log in</html>"
    web.content_type = "text/html; charset=utf-8"
    with pytest.raises(BenchmarkError, match="a web page came instead of the file"):
        fetch(Small(web.source()), None, cache=tmp_path, say=said.append)
    assert leftovers(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_told(web: Web, tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match="GEMS_CACHE"):
        fetch(Small(web.source()), None, cache=tmp_path / "file", say=said.append)


def test_a_copy_of_the_user_is_taken_as_it_is(web: Web, tmp_path: Path, said: list[str]) -> None:
    small = Small(web.source(sha256=SHA, licence="none stated"))
    (tmp_path / "prompts.jsonl").write_bytes(PROMPTS)
    (tmp_path / "copy.txt").write_bytes(PROMPTS)
    folder = fetch(small, tmp_path, cache=tmp_path / "cache", say=said.append)
    assert folder.files == {"prompts.jsonl": tmp_path / "prompts.jsonl"}
    file = fetch(small, tmp_path / "copy.txt", cache=tmp_path / "cache", say=said.append)
    assert file.files == {"prompts.jsonl": tmp_path / "copy.txt"}
    assert file.digests == folder.digests == {"prompts.jsonl": SHA}
    assert web.asked == []
    assert said == []
    (tmp_path / "copy.txt").write_bytes(b"mine")
    fetch(small, tmp_path / "copy.txt", say=said.append)
    assert "differs from the file of us/small @ 1234567" in said[0]


def test_a_copy_that_lacks_an_optional_file_is_taken_and_that_is_told(web: Web, tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "prompts.jsonl").write_bytes(PROMPTS)
    small = Small(web.source(), web.source("texts.csv", optional=True))
    assert set(fetch(small, tmp_path, cache=tmp_path, say=said.append).files) == {"prompts.jsonl"}
    assert any("texts.csv is not there" in text and web.url in text for text in said)


def test_a_copy_that_lacks_something_is_refused(web: Web, tmp_path: Path, said: list[str]) -> None:
    small = Small(web.source(), web.source("more.json"))
    (tmp_path / "prompts.jsonl").write_bytes(PROMPTS)
    for given, words in (
        (tmp_path, r"more\.json is missing.*http"),
        (tmp_path / "prompts.jsonl", r"needs prompts\.jsonl and more\.json: name the folder"),
        (tmp_path / "nowhere", r"no such file or folder"),
    ):
        with pytest.raises(BenchmarkError, match=words):
            fetch(small, given, say=said.append)
    with pytest.raises(BenchmarkError, match="ships with the package"):
        fetch(Small(), tmp_path, say=said.append)


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize(("file", "pack"), [("q.zip", zipped), ("q.tar.gz", tarred)])
def test_an_archive_is_given_as_a_folder(web: Web, tmp_path: Path, said: list[str], file: str, pack) -> None:
    web.files[f"/{file}"] = pack({"a/one.json": b"1", "two.json": b"2"})
    small = Small(web.source(file, archive=True))
    found = fetch(small, None, cache=tmp_path / "cache", say=said.append)
    assert (found.files[file] / "a" / "one.json").read_bytes() == b"1"
    assert fetch(small, None, cache=tmp_path / "cache", say=said.append) == found
    assert web.asked == [f"/{file}"]
    unpacked = tmp_path / "mine" / "q"
    (unpacked / "a").mkdir(parents=True)
    (unpacked / "a" / "one.json").write_bytes(b"1")
    (unpacked / "two.json").write_bytes(b"2")
    by_hand = fetch(small, tmp_path / "mine", cache=tmp_path / "cache", say=said.append)
    assert by_hand.files == {file: unpacked}
    assert by_hand.digests == found.digests, "what is read counts, not how it was packed"
    (tmp_path / file).write_bytes(web.files[f"/{file}"])
    packed = fetch(small, tmp_path, cache=tmp_path / "cache", say=said.append)
    assert packed.digests == found.digests


@pytest.mark.parametrize(("file", "pack"), [("q.zip", zipped), ("q.tar.gz", tarred)])
def test_an_archive_cannot_write_outside_of_its_folder(web: Web, tmp_path: Path, said: list[str], file: str, pack) -> None:
    web.files[f"/{file}"] = pack({"fine.json": b"1", "../../../escaped.json": b"2"})
    with pytest.raises(BenchmarkError, match=r"outside|cannot be unpacked"):
        fetch(Small(web.source(file, archive=True)), None, cache=tmp_path / "cache", say=said.append)
    assert leftovers(tmp_path) == [file]


def test_a_broken_or_huge_archive_is_refused(web: Web, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    web.files["/q.tar.gz"] = tarred({"a": bytes(9000)})[:40]
    with pytest.raises(BenchmarkError, match="cannot be unpacked"):
        fetch(Small(web.source("q.tar.gz", archive=True)), None, cache=tmp_path, say=said.append)
    monkeypatch.setattr(downloads, "MAX_UNPACKED", 1000)
    web.files["/z.zip"] = zipped({"a": bytes(9000)})
    with pytest.raises(BenchmarkError, match="unpack it by hand"):
        fetch(Small(web.source("z.zip", archive=True)), None, cache=tmp_path, say=said.append)
    assert not list(tmp_path.rglob(".part-*"))


def test_a_folder_has_a_digest_of_its_files_and_their_names(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "b").mkdir(parents=True)
        (tmp_path / name / "b" / "x").write_bytes(b"x")
        (tmp_path / name / "a").write_bytes(b"a")
    assert content_digest(tmp_path / "one") == content_digest(tmp_path / "two")
    (tmp_path / "two" / "a").rename(tmp_path / "two" / "c")
    assert content_digest(tmp_path / "one") != content_digest(tmp_path / "two")
    with pytest.raises(BenchmarkError, match="cannot be read"):
        content_digest(tmp_path / "nowhere")


def test_the_cache_is_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("GEMS_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "gems"
