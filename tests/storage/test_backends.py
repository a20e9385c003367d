"""Storage backends by path and URL, and their errors."""

import importlib
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from gems import run
from gems.errors import ImageStoreError
from gems.memory.state import ImageRef
from gems.storage.backends import FsspecStorage
from gems.storage.image_store import ImageStore
from gems.storage.workspace import Workspace

SECRETS = ("hunter2", "GEMSTESTKEY", "gems/test+secret", "wJalr")


def error_message(use):
    """Return the message of an ImageStoreError, one line without a secret."""
    with pytest.raises(ImageStoreError) as raised:
        use()
    line = str(raised.value)
    assert "\n" not in line
    assert not any(secret in line for secret in SECRETS)
    return line


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nowhere://pictures", "nowhere://pictures is no image store .*write a folder, or a URL such as s3://BUCKET/FOLDER"),
        ("s3://", "name the bucket too, as in s3://BUCKET/FOLDER"),
        ("reference://x", "is no image store"),
        ("s3://GEMSTESTKEY:hunter2@bucket/pictures", "carries credentials.*leave them out.*AWS_ACCESS_KEY_ID"),
        ("s3://GEMSTESTKEY:wJalr/hunter2@bucket/pictures", "carries credentials"),
        ("s3://GEMSTESTKEY@bucket/pictures", "carries credentials"),
        ("sftp://me:hunter2@host/pictures", "carries credentials.*FSSPEC_SFTP_"),
        ("az://box/pictures?sig=hunter2", "carries credentials or parameters"),
    ],
)
def test_a_url_of_no_use_is_refused_at_once(url, says):
    line = error_message(lambda: ImageStore(url))
    assert re.search(says, line), line


def test_a_path_made_from_a_url_is_the_url(tmp_path):
    assert ImageStore(Path("memory://images/mine")).url == "memory://images/mine"
    assert ImageStore("a:b").path("ab" * 32).parent.parent == Path("a:b")


@pytest.mark.parametrize(
    ("url", "shown"), [("ftp://me@127.0.0.1:9/a@b", "ftp://127.0.0.1:9/a@b"), ("memory://a/b:me@home", "memory://a/b:me@home")]
)
def test_a_users_name_is_not_shown(url, shown, monkeypatch):
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda given: (None, given))  # FTP dials at once
    assert str(ImageStore(url)) == shown


@pytest.mark.parametrize(
    ("module", "url", "says"),
    [
        ("s3fs", "s3://bucket/x", r's3fs is not installed: pip install -c constraints\.txt -e "\.\[s3\]"'),
        ("gcsfs", "gs://bucket/x", "gs://bucket/x: .*gcsfs"),
    ],
)
def test_a_missing_driver_is_told_with_how_to_install_it(monkeypatch, module, url, says):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, url.partition(":")[0], raising=False)
    with pytest.raises(ImageStoreError, match=says):
        ImageStore(url)


def test_pictures_off_this_machine_have_no_path(bucket):
    store = ImageStore(f"s3://{bucket}/pictures")
    assert "are not files of this machine" in error_message(lambda: store.path("ab" * 32))


def test_a_bucket_that_is_not_there_is_told_before_a_picture_is_paid_for(bucket, sketcher, tmp_path):
    home = Workspace(tmp_path, image_store="s3://no-such-bucket/pictures")
    line = error_message(lambda: run("a red circle", runs=home, image=sketcher))
    assert "cannot write to the image store s3://no-such-bucket/pictures (The specified bucket does not exist)" in line
    assert sketcher.made == []


def test_a_run_keeps_its_pictures_on_s3(bucket, sketcher, tmp_path):
    home = Workspace(tmp_path, image_store=f"s3://{bucket}/pictures")
    result = run("a red circle", runs=home, image=sketcher, thread="t")
    refs = {a.image.sha256 for a in result.attempts}
    with home.database.open() as opened:
        assert {p.digest for p in home.images.list_images()} == home.images_for(opened).claimed("t") == refs
    assert result.image_path.read_bytes() == home.images.read(result.best.image)
    assert list(tmp_path.rglob("images")) == []


def test_an_unreachable_endpoint_is_told(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = ImageStore(f"s3://{bucket}/elsewhere")
    uses = (
        store.ensure_writable,
        lambda: store.find_by_request("x"),
        store.list_images,
        store.all_claimed,
        lambda: store.delete("ab" * 32),
    )
    for use in uses:
        line = error_message(use)
        assert f"the image store s3://{bucket}/elsewhere" in line
        assert "AWS_ENDPOINT_URL_S3" in line


def test_an_endpoint_with_a_password_is_not_repeated(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://me:hunter2@127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    error_message(ImageStore(f"s3://{bucket}/elsewhere").ensure_writable)


def test_missing_credentials_are_told(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    store = ImageStore(f"s3://{bucket}/x")
    for use in (store.ensure_writable, lambda: store.find_by_request("x")):
        assert "Unable to locate credentials" in error_message(use)


class Forbidding(BaseHTTPRequestHandler):
    """An S3 that allows nothing."""

    protocol_version = "HTTP/1.1"  # S3's clients wait to be told to go on before they send a picture

    def do_GET(self):
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *args):
        pass


def test_denied_access_is_told_and_not_taken_for_an_empty_store(bucket, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Forbidding) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
        store, ref = ImageStore(f"s3://{bucket}/x"), ImageRef(sha256="ab" * 32, width=1, height=1)
        uses = (
            store.ensure_writable,
            lambda: store.read(ref),
            lambda: store.find_by_request("x", "mine"),
            lambda: store.delete(ref.sha256),
        )
        for use in (*uses, store.list_images, store.all_claimed, lambda: store.claimed("mine"), lambda: store.release("mine")):
            line = error_message(use)
            assert "Access Denied" in line or "Forbidden" in line
            assert "AWS_ACCESS_KEY_ID" in line
        server.shutdown()


def test_what_a_driver_says_is_one_short_line():
    class Chatty:
        def cat_file(self, path):
            raise RuntimeError("GET http://me:hunter2@host/x?token=hunter2 failed\n" + "because " * 99)

    place = FsspecStorage("memory://x")
    place._fs = Chatty()
    with pytest.raises(OSError, match="failed because") as raised:
        place.read("x")
    assert "hunter2" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(raised.value.strerror) <= 200
