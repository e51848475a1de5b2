"""Search a photograph among everyone known: search_faces.py USER_IMAGE [--rotate] [--vendor-data ID].

Requires: pip install requests. DIDIT_API_KEY has the key, DIDIT_API_BASE_URL the address with /v3.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import requests

BASE_URL = os.environ.get("DIDIT_API_BASE_URL", "http://127.0.0.1:8080/v3").rstrip("/")


def main() -> None:
    """Ask the device, and print what it answers."""
    parser = argparse.ArgumentParser(description="Search a photograph among everyone known, 1:N.")
    parser.add_argument("user_image", type=Path)
    parser.add_argument("--rotate", action="store_true", help="try quarter turns")
    parser.add_argument("--vendor-data", help="your identifier")
    chosen = parser.parse_args()
    fields = {"rotate_image": "true" if chosen.rotate else None, "vendor_data": chosen.vendor_data}
    try:
        answer = requests.post(
            f"{BASE_URL}/face-search/",
            headers={"x-api-key": os.environ.get("DIDIT_API_KEY", "")},
            files={"user_image": ("user_image", chosen.user_image.read_bytes())},
            data={name: text for name, text in fields.items() if text is not None},
            timeout=60,
        )
    except (OSError, requests.RequestException) as error:
        sys.exit(f"Error: {error}")
    if not answer.ok:
        sys.exit(f"Error: {answer.status_code} {answer.text}")
    found = answer.json()
    print(json.dumps(found, indent=2))
    matches = found["face_search"]["matches"]
    print(f"\n--- {len(matches)} match(es) found ---")
    for row in matches:
        blocked = " | BLOCKED" if row["is_blocklisted"] else ""
        print(f"{row['similarity_percentage']}% | {row['vendor_data']} | session {row['session_id']}{blocked}")


if __name__ == "__main__":
    main()
