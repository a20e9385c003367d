"""Get a benchmark's files: from a copy that the user names, from the cache, or by a download after its licence is shown."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import httpx2
import pooch

from ..errors import BenchmarkError
from .benchmarks.base import Benchmark, Source

MAX_DOWNLOAD = 2**30
"""Bytes of a download."""
MAX_UNPACKED = 8 * 2**30
"""Bytes of an archive's files in all."""
TIMEOUT = httpx2.Timeout(60.0, connect=15.0)
BLOCK = 2**20


class Fetched(NamedTuple):
    """A benchmark's files."""

    files: dict[str, Path]
    """The path of each source by its `file`; an archive is a folder. Missing optional files are left out."""
    digests: dict[str, str]
    """SHA-256 of each, for a run's definition; of a folder see `digest`."""


class _FileUnavailableError(BenchmarkError):
    """A file is not available: an optional one is left out."""


def fetch(
    benchmark: Benchmark,
    data: Path | None,
    *,
    accept: Collection[str] = (),
    cache: Path | None = None,
    say: Callable[[str], None],
) -> Fetched:
    """Find a benchmark's files, and download what is missing.

    Args:
        benchmark: whose files.
        data: the user's own copy: a folder with the sources' file names, or a file where the benchmark needs but one. Nothing
            is downloaded then.
        accept: licences that the user agrees to, where they are not free: `CC-BY-NC-4.0`, `none stated`.
        cache: folder of downloads; by default `cache_folder()`.
        say: called with a sentence before each download: the file, its origin and its licence.

    Raises:
        BenchmarkError: a file is missing from `data`, a licence is not accepted, or a download fails or is another file than
            expected. Nothing of a failed download is kept.
    """
    folder = (cache or cache_folder()) / "benchmarks" / benchmark.name
    if data is not None:
        files = _from_user_copy(benchmark, data, folder, say)
    else:
        files = _download_missing(benchmark, folder, {licence.casefold() for licence in accept}, say)
    return Fetched(files, {name: content_digest(path) for name, path in files.items()})


def cache_folder() -> Path:
    """Return the folder of downloads: $GEMS_CACHE, else ~/.cache/gems."""
    return Path(os.environ.get("GEMS_CACHE") or "~/.cache/gems").expanduser()


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder, that of its files' digests and names, sorted by name.

    Raises:
        BenchmarkError: it cannot be read.
    """
    try:
        if path.is_file():
            return str(pooch.file_hash(str(path)))
        path.stat()  # a folder that is not there would seem empty
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        lines = "".join(f"{pooch.file_hash(str(path / name))}  {name}\n" for name in names)
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read: {error}") from error
    return hashlib.sha256(lines.encode()).hexdigest()


def _from_user_copy(benchmark: Benchmark, data: Path, cache: Path, say: Callable[[str], None]) -> dict[str, Path]:
    data = data.expanduser()
    needed = [source for source in benchmark.sources if not source.optional]
    if not benchmark.sources:
        raise BenchmarkError(f"{benchmark.title} ships with the package: leave --data out")
    if not data.exists():
        raise BenchmarkError(f"{data}: there is no such file or folder: name a copy of {_join_names(needed)}, or leave --data out")
    if data.is_file():
        if len(needed) > 1:
            raise BenchmarkError(f"{data}: {benchmark.title} needs {_join_names(needed)}: name the folder that holds them")
        files = {(needed or benchmark.sources)[0].file: data}
    else:
        files = {source.file: path for source in benchmark.sources if (path := _find_in_folder(source, data)) is not None}
    if missing := [source for source in needed if source.file not in files]:
        raise BenchmarkError(f"{data}: {_join_names(missing)} is missing: copy it there from {missing[0].url}")
    for source in benchmark.sources:
        path = files.get(source.file)
        if path is None and source.url:
            say(f"{data}: {source.file} is not there: prompts are read without it, what needs it cannot be scored. {source.url}")
        if path is None or not path.is_file():
            continue
        if source.sha256 is not None and content_digest(path) != source.sha256:
            say(f"{path} differs from the file of {source.origin}: figures may not be comparable with published ones")
        if source.archive:
            files[source.file] = _unpack_once(path, cache / f"{source.file}.{content_digest(path)[:16]}")
    return files


def _find_in_folder(source: Source, data: Path) -> Path | None:
    """Return the file of a source, or its unpacked folder."""
    names = [source.file, *(source.file.removesuffix(end) for end in (".tar.gz", ".zip") if source.archive)]
    return next((data / name for name in names if (data / name).exists()), None)


def _find_in_cache(source: Source, cache: Path) -> Path | None:
    path = cache / source.file
    if not path.is_file():
        return None
    return path if source.sha256 is None or content_digest(path) == source.sha256 else None


def _consent_error(benchmark: Benchmark, source: Source) -> BenchmarkError:
    quoted = f'"{source.licence}"' if " " in source.licence else source.licence
    return BenchmarkError(
        f"{benchmark.title}: {source.file} of {source.origin} is not fetched without your consent. Its licence: {source.licence}. "
        f"{_explain_licence(source.licence)} If you may use it, add --accept-licence {quoted}; or name your own copy with --data"
    )


def _explain_licence(licence: str) -> str:
    if licence == "none stated":
        return "Its authors give no permission to use it: ask them, or check which right you have."
    if "-NC" in licence:
        return "It may be used with attribution, and not for commercial purposes."
    return "Read it at its origin."


def _download_missing(benchmark: Benchmark, cache: Path, agreed: Collection[str], say: Callable[[str], None]) -> dict[str, Path]:
    sources = [source for source in benchmark.sources if source.url]
    cached = {source.file: _find_in_cache(source, cache) for source in sources}
    barred = [s for s in sources if cached[s.file] is None and not s.free and s.licence.casefold() not in agreed]
    if needed := [source for source in barred if not source.optional]:
        raise _consent_error(benchmark, needed[0])  # before anything is fetched
    files = {}
    for source in sources:
        path = cached[source.file]
        try:
            if path is None and source in barred:
                raise _FileUnavailableError(str(_consent_error(benchmark, source)))
            if path is None:
                say(f"{benchmark.title}: fetching {source.file} of {source.origin}. Licence: {source.licence}. {source.url}")
                path = _download(source, cache)
        except _FileUnavailableError as error:
            if not source.optional:
                raise
            say(f"{source.file} is left out: prompts are read without it, what needs it cannot be scored. {error}")
            continue
        files[source.file] = _unpack_once(path, cache / f"{source.file}.{content_digest(path)[:16]}") if source.archive else path
    return files


def _download(source: Source, cache: Path) -> Path:
    """Fetch a file into the cache: it is there as a whole, or not at all."""
    out = f"cannot fetch {source.url}"
    other = "fetch it elsewhere and name the copy with --data"

    def stream(url: str, output_file: str, pooch: object) -> None:
        with Path(output_file).open("wb") as file, httpx2.stream("GET", url, timeout=TIMEOUT, follow_redirects=True) as reply:
            reply.raise_for_status()
            if reply.headers.get("Content-Type", "").startswith("text/html"):
                raise _FileUnavailableError(
                    f"{out}: a web page came instead of the file: is there a login before the network? Or {other}"
                )
            for block in reply.iter_bytes(BLOCK):
                if file.tell() + len(block) > MAX_DOWNLOAD:
                    raise BenchmarkError(f"{out}: it is larger than {MAX_DOWNLOAD // 2**20} MiB: {other}")
                file.write(block)

    try:
        pooch.get_logger().setLevel("WARNING")  # what is fetched was said already
        path = Path(pooch.retrieve(source.url, source.sha256, source.file, cache, downloader=stream))
        path.chmod(0o644)  # pooch makes files for their owner alone; a cache may be shared
        return path
    except BenchmarkError:
        raise
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise _FileUnavailableError(f"{out}: {str(error) or type(error).__name__}: is there a network? Or {other}") from error
    except OSError as error:
        raise BenchmarkError(f"{cache}: cannot be written: {error}: set GEMS_CACHE to a folder that can") from error
    except ValueError as error:
        raise BenchmarkError(
            f"{source.url}: this is another file than expected ({error}); nothing was kept. Try again, or name a copy with --data"
        ) from error


def _unpack_once(archive: Path, folder: Path) -> Path:
    """Unpack an archive once; the folder is there as a whole, or not at all."""
    if folder.is_dir():
        return folder
    part: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".part-"))
        if zipfile.is_zipfile(archive):
            _unzip(archive, part)
        else:
            _untar(archive, part)
        part.chmod(0o755)
        try:
            part.replace(folder)
        except OSError:
            if not folder.is_dir():  # another process was faster: its folder is as good
                raise
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BenchmarkError(f"{archive}: this archive cannot be unpacked ({error}): delete it, and fetch it again") from error
    except OSError as error:
        raise BenchmarkError(f"{archive}: cannot be unpacked to {folder}: {error}") from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        entries = opened.infolist()
        _check_size(archive, sum(entry.file_size for entry in entries))
        for entry in entries:
            if not (folder / entry.filename).resolve().is_relative_to(folder.resolve()):
                raise BenchmarkError(f"{archive}: {entry.filename} would be written outside of its folder: do not use this archive")
        opened.extractall(folder)


def _untar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive, "r:gz") as opened:
        _check_size(archive, sum(entry.size for entry in opened))
        opened.extractall(folder, filter="data")


def _check_size(archive: Path, size: int) -> None:
    if size > MAX_UNPACKED:
        raise BenchmarkError(
            f"{archive}: its files have {size // 2**20} MiB in all, more than {MAX_UNPACKED // 2**20}: unpack it by hand"
        )


def _join_names(sources: Iterable[Source]) -> str:
    return " and ".join(source.file for source in sources)
