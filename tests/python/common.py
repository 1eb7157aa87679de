"""What the two Python stand-ins, client.py and worker.py, share: events, log, HTTP, constants."""

import http.client
import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

KEEP_ALIVE = b"KEEP_ALIVE"
BUFFERED_LIMIT = 16 * 1024 * 1024


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def log(*words):
    print(*words, file=sys.stderr, flush=True)


def post(base, path, body=None, headers=None):
    """POST as the original does: JSON, or an empty body without a content type. Gives status and object."""
    url = urlsplit(base if ":" in base.split("//", 1)[1] else f"{base}:8001")
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname, url.port, timeout=10)
    headers = dict(headers or {})
    if body is not None:
        body = json.dumps(body)
        headers["Content-Type"] = "application/json"
    try:
        connection.request("POST", url.path.rstrip("/") + path, body=body, headers=headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text or b"null")
    finally:
        connection.close()


def delete_peer(base, peer_id):
    """What both do on exit; a server that is gone is no error."""
    try:
        post(base, "/delete-peer", {"peer_id": peer_id})
    except (OSError, ValueError, http.client.HTTPException) as error:
        log("delete-peer:", error)


def usable_root(root):
    """The legacy root as a path, or None when legacy mode is off."""
    root = Path(root).expanduser().resolve() if root else None
    return root if root and root.is_dir() and os.access(root, os.R_OK | os.W_OK) else None
