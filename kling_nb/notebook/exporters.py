"""nbconvert's HTML with the videos inside: `jupyter nbconvert --to kling_html` gives one whole file."""

from __future__ import annotations

import base64
import re
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import traitlets
from nbconvert.exporters import HTMLExporter
from nbconvert.preprocessors import Preprocessor

from kling_nb._settings import current
from kling_nb.media.content import HEAD, file_type
from kling_nb.notebook.frozen import settle_for_good

_MEDIA = re.compile(r'(<(?:video|audio|img)\s[^>]*?src=")([^"]*)(")')
_CARD = "kling-card"
_MATHS = re.compile(r"\$|\\[(\[]|\\begin")
_NO_SCRIPT = "data:text/javascript,"


class EmbedMedia(Preprocessor):
    """Makes outputs of kling_nb static, and puts the files that their cards play into the page.

    Registered by nothing: add it with
    `--HTMLExporter.preprocessors=kling_nb.notebook.exporters.EmbedMedia` to an exporter of your own.
    """

    embed_media = traitlets.Bool(True, help="Whether videos, sounds and pictures go into the page.").tag(
        config=True
    )
    largest = traitlets.Int(
        100_000_000, help="Bytes. A larger file stays beside the page, and a warning says so."
    ).tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Settle the notebook, then its files."""
        folder = Path((resources.get("metadata") or {}).get("path") or ".").absolute()
        settle_for_good(nb, folder)
        if self.embed_media:
            for cell in nb.cells:
                for output in cell.get("outputs", ()):
                    html = output.get("data", {}).get("text/html")
                    if html and _CARD in html:
                        output["data"]["text/html"] = self.embedded(html, folder)
        return nb, resources

    def embedded(self, html: str, folder: Path) -> str:
        """A card with its files inside. What is not there, too large, or elsewhere stays an address."""
        return _MEDIA.sub(lambda found: f"{found[1]}{self._source(found[2], folder)}{found[3]}", html)

    def _source(self, src: str, folder: Path) -> str:
        given = unescape(src)
        if re.match(r"\w[\w+.-]*:", given):
            return src
        try:
            return escape(self._data(folder / unquote(given), folder))
        except (OSError, ValueError) as fault:
            self.log.warning("%s is not put into the page: %s", given, fault)
            return src

    def _data(self, path: Path, folder: Path) -> str:
        """A file as a data URI. Whoever wrote the notebook must not get other files of this machine shown."""
        real = path.resolve()
        media = current({"backend": "local"}).media  # so that no key is looked for
        if not any(real.is_relative_to(place.resolve()) for place in (folder, media)):
            raise ValueError("it is neither in the notebook's folder nor in that of takes")
        if real.stat().st_size > self.largest:
            raise ValueError("it is too large")
        data = real.read_bytes()
        kind = file_type(data[:HEAD]).content_type
        if not kind.startswith(("video/", "audio/", "image/")):
            raise ValueError(f"it is {kind}")
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"


class KlingHTMLExporter(HTMLExporter):
    """HTML in one file: videos, sounds and pictures of kling_nb are inside.

    `--KlingHTMLExporter.embed_media=False` leaves the files beside it.
    """

    export_from_notebook = "HTML with Kling videos"
    embed_media = traitlets.Bool(True, help="Whether videos, sounds and pictures go into the page.").tag(
        config=True
    )

    def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> Any:
        """Convert; scripts that this notebook has no use for are not asked of other hosts."""
        texts = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
        outputs = [output.get("data", {}) for cell in nb.cells for output in cell.get("outputs", ())]
        if not any(
            _MATHS.search(text) for text in [*texts, *(data.get("text/latex", "") for data in outputs)]
        ):
            self.mathjax_url = _NO_SCRIPT
        if not any(_scripted(data) for data in outputs):
            self.require_js_url = _NO_SCRIPT
        return super().from_notebook_node(nb, resources, **kw)

    def _init_preprocessors(self) -> None:
        super()._init_preprocessors()
        self.register_preprocessor(EmbedMedia(parent=self, embed_media=self.embed_media), enabled=True)


def _scripted(data: dict[str, Any]) -> bool:
    """Whether an output may want require.js."""
    return "application/javascript" in data or "<script" in str(data.get("text/html", ""))
