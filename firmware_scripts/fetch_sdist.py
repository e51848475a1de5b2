"""Fetch a package's source archive from the package index, check its digest, unpack it. Runs nothing of it.

    fetch_sdist.py NAME==VERSION SHA256 FOLDER

`pip download` would run the package's own build to learn its metadata; this asks the same index, as pip is set up
here, and takes the file.
"""

from __future__ import annotations

import hashlib
import html.parser
import os
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

TRIES = 3
TIMEOUT_S = 60


class Links(html.parser.HTMLParser):
    """Collects the links of an index page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of a link."""
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def index() -> str:
    """Return the package index that pip is set up with."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    return os.environ.get("PIP_INDEX_URL") or said.stdout.strip() or "https://pypi.org/simple"


def read(address: str) -> bytes:
    """Return what stands at an address, tried a few times."""
    for attempt in range(TRIES):
        try:
            request = urllib.request.Request(address, headers={"Accept": "text/html", "User-Agent": "face-kiosk"})
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                content: bytes = answer.read()
                return content
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            if attempt == TRIES - 1:
                sys.exit(f"Error: {address}: {error}; check the network and run this again")
            time.sleep(2**attempt)  # a moment for a busy index
    raise AssertionError("unreachable")


def main() -> None:
    """Fetch, check, unpack."""
    requirement, sha256, folder = sys.argv[1:]
    name, version = requirement.split("==")
    page_address = f"{index().rstrip('/')}/{name.replace('_', '-')}/"
    links = Links()
    links.feed(read(page_address).decode())
    wanted = {f"{spelt}-{version}.tar.gz" for spelt in (name, name.replace("_", "-"), name.replace("-", "_"))}
    for link in links.found:
        address = urllib.parse.urljoin(page_address, link)
        if Path(urllib.parse.urlparse(address).path).name in wanted:
            break
    else:
        sys.exit(f"Error: {page_address} offers no source archive of {requirement}")
    content = read(urllib.parse.urldefrag(address).url)
    if hashlib.sha256(content).hexdigest() != sha256:
        sys.exit(f"Error: {requirement} from {page_address} has another sha256 than the one pinned; not used")
    archive = Path(folder) / "archive.tar.gz"
    archive.write_bytes(content)
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
        else:  # Python before 3.10.12; the digest says that the archive is the one we looked at
            tar.extractall(folder)


if __name__ == "__main__":
    main()
