"""Everything that was written, unpacked, and what of a secret can be found in it."""

import base64
import html
import json
import re
import sqlite3
from io import BytesIO
from urllib.parse import quote

from PIL import Image

from gems.storage.serializer import serializer

PIECE = 12
"""Characters of a secret that give it away."""


def traces(secret):
    """All texts that give a secret away: its pieces, as they are, in a URL, and in base64 wherever it begins."""
    forms = {secret, quote(secret, safe=""), repr(secret)[1:-1]}
    for before in range(3):
        encoded = base64.b64encode(b"?" * before + secret.encode()).decode().rstrip("=")
        forms |= {encoded[before + 1 : -2], base64.urlsafe_b64encode(b"?" * before + secret.encode()).decode()[before + 1 : -4]}
    return {form[at : at + PIECE] for form in forms for at in range(len(form) - PIECE + 1)}


def leaks(texts, *secrets):
    """Where which secret is found: (label, name of the secret) for each."""
    signs = {secret: re.compile("|".join(map(re.escape, sorted(traces(secret))))) for secret in secrets}
    return sorted({(label, secret) for label, text in texts.items() for secret, sign in signs.items() if sign.search(text)})


def kept(home):
    """All that a home keeps, as texts by where they are: files as bytes, databases and pictures also unpacked."""
    texts = {f"{table}.{number}": text for table, rows in _tables(home) for number, text in enumerate(map(_row, rows))}
    for path in sorted(p for p in home.folder.rglob("*") if p.is_file()):
        name, data = path.relative_to(home.folder).as_posix(), path.read_bytes()
        texts[name] = data.decode("latin-1")
        if path.suffix == ".png":
            texts[f"{name}, unpacked"] = _told_by(data)
        if path.suffix == ".html":
            texts[f"{name}, unescaped"] = html.unescape(data.decode())
            inside = re.findall(r"image/(?:png|webp);base64,([A-Za-z0-9+/=]+)", data.decode())
            texts[f"{name}, its pictures"] = "\n".join(_told_by(base64.b64decode(one)) for one in inside)
    return texts


def _told_by(data):
    with Image.open(BytesIO(data)) as image:
        return "\n".join(f"{key}: {value}" for key, value in {**image.info, **getattr(image, "text", {})}.items())


def _tables(home):
    if home.store:
        import psycopg

        with psycopg.connect(home.store) as connection:
            names = [n for (n,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
            for name in names:
                cursor = connection.execute(f"SELECT * FROM {name}")
                yield name, [dict(zip([c.name for c in cursor.description], row, strict=True)) for row in cursor.fetchall()]
        return
    connection = sqlite3.connect(home.folder / "gems.sqlite")  # which reads what is still in the -wal file too
    connection.row_factory = sqlite3.Row
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        yield name, [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
    connection.close()


def _row(row):
    """Write a row, with what the serializer makes of its bytes."""
    return repr({name: _opened(name, row.get("type"), value) for name, value in row.items()})


def _opened(name, kind, value):
    if isinstance(value, bytes) and kind and kind != "empty" and name in ("checkpoint", "value", "blob"):
        return serializer().loads_typed((kind, value))
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if name == "value" and isinstance(value, str):  # of LangGraph's store
        value = json.loads(value)
    if isinstance(value, dict) and set(value) == {"kind", "data"}:
        return serializer().loads_typed((value["kind"], base64.b64decode(value["data"])))
    return value
