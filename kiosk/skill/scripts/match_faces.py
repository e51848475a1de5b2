"""Compare two photographs: match_faces.py USER_IMAGE REF_IMAGE [--threshold N] [--rotate] [--vendor-data ID].

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
    parser = argparse.ArgumentParser(description="Compare two photographs, 1:1.")
    parser.add_argument("user_image", type=Path)
    parser.add_argument("ref_image", type=Path)
    parser.add_argument("--threshold", help="score below which the answer is Declined, 0 to 100")
    parser.add_argument("--rotate", action="store_true", help="try quarter turns")
    parser.add_argument("--vendor-data", help="your identifier")
    chosen = parser.parse_args()
    fields = {
        "face_match_score_decline_threshold": chosen.threshold,
        "rotate_image": "true" if chosen.rotate else None,
        "vendor_data": chosen.vendor_data,
    }
    try:
        files = {name: (name, getattr(chosen, name).read_bytes()) for name in ("user_image", "ref_image")}
        answer = requests.post(
            f"{BASE_URL}/face-match/",
            headers={"x-api-key": os.environ.get("DIDIT_API_KEY", "")},
            files=files,
            data={name: text for name, text in fields.items() if text is not None},
            timeout=60,
        )
    except (OSError, requests.RequestException) as error:
        sys.exit(f"Error: {error}")
    if not answer.ok:
        sys.exit(f"Error: {answer.status_code} {answer.text}")
    found = answer.json()
    print(json.dumps(found, indent=2))
    print(f"\n--- Result: {found['face_match']['status']} | Score: {found['face_match']['score']}/100 ---")


if __name__ == "__main__":
    main()
