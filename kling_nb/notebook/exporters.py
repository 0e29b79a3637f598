"""nbconvert's HTML with the videos inside: `jupyter nbconvert --to kling_html` writes a single file."""

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

from kling_nb.media.take import read_sidecar
from kling_nb.notebook.saved.renewal import freeze_notebook
from kling_nb.request.file_types import HEAD, file_type

_MEDIA = re.compile(r'(<(?:video|audio|img)\s[^>]*?src=")([^"]*)(")')
_CARD = "kling-card"
_MATHS = re.compile(r"\$|\\[(\[]|\\begin")
_NO_SCRIPT = "data:text/javascript,"


class EmbedMedia(Preprocessor):
    """Makes outputs of kling_nb static, and embeds the files of their cards in the page.

    Add it to your own exporter with `--HTMLExporter.preprocessors=kling_nb.notebook.exporters.EmbedMedia`.
    """

    embed_media = traitlets.Bool(True, help="Embed videos, audio and images in the page.").tag(config=True)
    largest = traitlets.Int(
        100_000_000, help="Largest file to embed, in bytes. A warning names each file that is not embedded."
    ).tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Make the outputs of a notebook static, and embed their files."""
        folder = Path((resources.get("metadata") or {}).get("path") or ".").absolute()
        freeze_notebook(nb, folder)
        if self.embed_media:
            for cell in nb.cells:
                for output in cell.get("outputs", ()):
                    html = output.get("data", {}).get("text/html")
                    if html and _CARD in html:
                        output["data"]["text/html"] = self.embed(html, folder)
        return nb, resources

    def embed(self, html: str, folder: Path) -> str:
        """Return a card with its files embedded. A file that is missing, too large or elsewhere is not."""
        return _MEDIA.sub(lambda tag: f"{tag[1]}{self._source(tag[2], folder)}{tag[3]}", html)

    def _source(self, src: str, folder: Path) -> str:
        path = unescape(src)
        if re.match(r"\w[\w+.-]*:", path):
            return src
        try:
            return escape(self._data(folder / unquote(path), folder))
        except (OSError, ValueError) as fault:
            self.log.warning("%s is not embedded: %s", path, fault)
            return src

    def _data(self, path: Path, folder: Path) -> str:
        """Return a file as a data URI. A notebook from outside must not read other files of this machine."""
        real = path.resolve()
        if not (real.is_relative_to(folder.resolve()) or _is_with_takes(real)):
            raise ValueError("it is neither in the notebook's folder nor among takes")
        if real.stat().st_size > self.largest:
            raise ValueError("it is too large")
        data = real.read_bytes()
        kind = file_type(data[:HEAD]).mime
        if not kind.startswith(("video/", "audio/", "image/")):
            raise ValueError(f"it is {kind}")
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _is_with_takes(file: Path) -> bool:
    """Return True if a sidecar is in the folder of the file, or in the folder above, as for sorted films.

    It may be the folder of another notebook.
    """
    return any(read_sidecar(path) for folder in file.parents[:2] for path in folder.glob("*.json"))


class KlingHTMLExporter(HTMLExporter):
    """A single HTML file with the videos, audio and images of kling_nb inside.

    `--KlingHTMLExporter.embed_media=False` keeps the files outside.
    """

    export_from_notebook = "HTML with Kling videos"
    embed_media = traitlets.Bool(True, help="Embed videos, audio and images in the page.").tag(config=True)

    def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> Any:
        """Convert a notebook. The page loads MathJax and require.js only if it needs them."""
        texts = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
        outputs = [output.get("data", {}) for cell in nb.cells for output in cell.get("outputs", ())]
        if not any(
            _MATHS.search(text) for text in [*texts, *(data.get("text/latex", "") for data in outputs)]
        ):
            self.mathjax_url = _NO_SCRIPT
        if not any(_needs_scripts(data) for data in outputs):
            self.require_js_url = _NO_SCRIPT
        return super().from_notebook_node(nb, resources, **kw)

    def _init_preprocessors(self) -> None:
        super()._init_preprocessors()
        self.register_preprocessor(EmbedMedia(parent=self, embed_media=self.embed_media), enabled=True)


def _needs_scripts(data: dict[str, Any]) -> bool:
    """Return True if an output may need require.js."""
    return "application/javascript" in data or "<script" in str(data.get("text/html", ""))
