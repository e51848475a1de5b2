"""A visitor pass as a picture: its QR code as SVG or PNG, and a sheet to be printed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import TextIO

import segno

from kiosk.store.passes.passes import KeptPass

QUIET = 4  # modules of white around a code; readers want them
PNG_SCALE = 8  # px a module: some 400 px, sharp on any telephone
_SHEET = """<!doctype html>
<html lang="{language}"><meta charset="utf-8"><title>{title}</title>
<style>
  @page {{ size: A6; margin: 8mm }}
  body {{ font: 12pt/1.4 system-ui, sans-serif; color: #000; background: #fff; margin: 0; text-align: center }}
  h1 {{ font-size: 18pt; margin: 0 0 2mm }}
  p {{ margin: 1mm 0 }}
  svg {{ width: 62mm; height: 62mm }}
  .small {{ font-size: 8pt }}
</style>
<h1>{title}</h1>
{lines}
{code}
<p class="small">{warning}</p>
</html>
"""


def as_svg(kept: KeptPass) -> str:
    """Return the QR code as SVG, black on white whatever is behind it."""
    held = io.BytesIO()
    _code(kept).save(
        held, kind="svg", border=QUIET, dark="#000", light="#fff", xmldecl=False, omitsize=True, svgclass=None
    )
    return held.getvalue().decode()


def as_png(kept: KeptPass) -> bytes:
    """Return the QR code as PNG."""
    held = io.BytesIO()
    _code(kept).save(held, kind="png", border=QUIET, scale=PNG_SCALE)
    return held.getvalue()


def as_page(kept: KeptPass, *, title: str, lines: Sequence[str], warning: str, language: str = "en") -> str:
    """Return a page of A6 to print: title, lines about the pass, the code, and that it is a key."""
    return _SHEET.format(
        language=escape(language),
        title=escape(title),
        lines="\n".join(f"<p>{escape(line)}</p>" for line in lines if line),
        code=as_svg(kept),
        warning=escape(warning),
    )


def _code(kept: KeptPass) -> segno.QRCode:
    return segno.make(kept.text, error="m", micro=False)


def print_code(kept: KeptPass, to: TextIO) -> None:
    """Draw the code with half blocks, for whoever photographs a terminal."""
    _code(kept).terminal(to, border=QUIET, compact=True)
