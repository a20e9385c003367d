"""An image backend of an invented API, as someone who adds one would write it: `acme:http://HOST#MODEL`."""

from typing import Any

from pydantic import Field

from gems.models.image.http_image import HttpImage, HttpImageOptions


class AcmeOptions(HttpImageOptions):
    """An image model behind Acme's API."""

    spec = "acme:http(s)://HOST#MODEL"
    about = "Acme's image API"

    style: str = Field(default="oil", description="Style of the brush.")

    def make(self) -> "AcmeImage":
        """Return the image model."""
        url, _, name = self.model.removeprefix("acme:").partition("#")
        return AcmeImage(self, url, name)


class AcmeImage(HttpImage):
    """An image model behind Acme's API."""

    def key_headers(self, key: str) -> dict[str, str]:
        """Return the header that Acme reads the key from."""
        return {"X-Acme-Key": key}

    def draw(self, request: Any) -> bytes:
        """Have Acme paint."""
        words = {"words": request.prompt, "dice": request.seed, "style": self.options.style}
        answer = self.post("/paint", json=words)
        return self.inline_image(answer.get("canvas"), answer)
