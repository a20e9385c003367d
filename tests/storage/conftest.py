"""Storage for images: a folder, memory, and S3 with a real server on loopback."""

import logging
import urllib.request
import uuid

import fsspec
import pytest


class RawStorage:
    """The files of an image store as another program sees them, which may damage them."""

    def __init__(self, url):
        self.url = str(url)
        self.fs, self.root = fsspec.core.url_to_fs(self.url)

    def names(self, suffix=""):
        self.fs.invalidate_cache()
        return sorted(n[len(self.root) + 1 :] for n in self.fs.find(self.root) if n.endswith(suffix))

    def read(self, name):
        return self.fs.cat_file(f"{self.root}/{name}")

    def write(self, name, data):
        self.fs.makedirs(f"{self.root}/{name}".rpartition("/")[0], exist_ok=True)
        self.fs.pipe_file(f"{self.root}/{name}", data)

    def remove(self, name):
        self.fs.rm_file(f"{self.root}/{name}")


@pytest.fixture(scope="session")
def s3_server():
    """Run a server that speaks S3; return its address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    server._server.server_close()


@pytest.fixture
def bucket(s3_server, tmp_path, monkeypatch):
    """Return the name of an empty bucket. Endpoint and credentials are given as a user gives them: by the environment."""
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "GEMSTESTKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "gems/test+secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    name = f"pictures-{uuid.uuid4().hex[:12]}"
    request = urllib.request.Request(f"{s3_server}/{name}", method="PUT")
    urllib.request.urlopen(request).close()
    S3FileSystem.clear_instance_cache()  # else one of the test before is taken, with its credentials
    yield name
    S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request, tmp_path):
    """Give each kind of storage, empty."""
    if request.param == "folder":
        yield RawStorage(tmp_path / "images")
    elif request.param == "s3":
        yield RawStorage(f"s3://{request.getfixturevalue('bucket')}/gems/images")
    else:
        memory = RawStorage(f"memory://{uuid.uuid4().hex}")
        yield memory
        if memory.names():  # memory is the whole process's
            memory.fs.rm(memory.root, recursive=True)
