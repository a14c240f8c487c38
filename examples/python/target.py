#!/usr/bin/env python3
"""A target for sqsonce from Python's standard library.

    TARGET_SECRET=whsec_... python3 target.py PORT [DATABASE]

Each POST is one attempt on one message. The name of the message is the key of the effect, so a
repeated attempt finds it done. The fence grows with each attempt on a name: a request with a lower
fence than one seen before is late, and another attempt is at work.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

TOLERANCE = 300  # seconds that a signature is good for


def key_of(secret):
    """The key behind a secret: base64 after whsec_, or the text itself."""
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"))
    return secret.encode()


def is_signed(headers, body, key):
    """Standard Webhooks: an HMAC over id, timestamp and body."""
    message_id = headers.get("Webhook-Id", "")
    timestamp = headers.get("Webhook-Timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    mac = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    want = "v1," + base64.b64encode(mac.digest()).decode()
    given = headers.get("Webhook-Signature", "").split(" ")  # several while a secret is changed
    return any(hmac.compare_digest(want, each) for each in given)


def name_of(key):
    """The name in an Idempotency-Key: a string as in RFC 8941, percent-encoded; None when it is none."""
    if not re.fullmatch(r'"([ !#-\[\]-~]|\\["\\])*"', key):
        return None
    return unquote(re.sub(r"\\(.)", r"\1", key[1:-1]))


class Orders:
    """The effect: an order is booked once."""

    def __init__(self, path):
        self.path = path
        with self.open() as db:
            db.execute("CREATE TABLE IF NOT EXISTS fences (name TEXT PRIMARY KEY, fence INTEGER NOT NULL)")
            db.execute("CREATE TABLE IF NOT EXISTS bookings (name TEXT PRIMARY KEY, total INTEGER NOT NULL)")

    def open(self):
        return sqlite3.connect(self.path, timeout=10, isolation_level=None)

    def book(self, name, fence, total):
        """Books the order unless it is booked; None when the attempt is late."""
        with self.open() as db:
            db.execute("BEGIN IMMEDIATE")  # fence and booking change together
            seen = db.execute("SELECT fence FROM fences WHERE name = ?", (name,)).fetchone()
            if seen and seen[0] > fence:
                db.execute("ROLLBACK")
                return None
            db.execute("INSERT OR REPLACE INTO fences VALUES (?, ?)", (name, fence))
            new = db.execute("INSERT OR IGNORE INTO bookings VALUES (?, ?)", (name, total)).rowcount
            booked = db.execute("SELECT total FROM bookings WHERE name = ?", (name,)).fetchone()[0]
            db.execute("COMMIT")
            return {"order": name, "total": booked, "new": new == 1}


class Target(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections
    timeout = 60

    def do_GET(self):
        self.answer(200 if self.path == "/healthz" else 404, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path != "/work":
            return self.answer(404, {"error": "POST to /work"})
        if self.server.key and not is_signed(self.headers, body, self.server.key):
            return self.answer(401, {"error": "signature is missing, wrong or old"})
        name = name_of(self.headers.get("Idempotency-Key", ""))
        if name is None:
            return self.answer(400, {"error": "Idempotency-Key: want a string in quotes"})
        fence = int(self.headers["X-Sqsonce-Fence"])
        try:
            total = int(json.loads(body)["total"])
        except (ValueError, KeyError, TypeError):
            return self.answer(422, {"error": "total: want a number"})  # no retry can help
        booked = self.server.orders.book(name, fence, total)
        if booked is None:
            return self.answer(409, {"error": "a later attempt is at work"})
        return self.answer(200, booked)  # recorded as the result

    def answer(self, status, document):
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format, *args):
        pass


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    server = ThreadingHTTPServer(("127.0.0.1", port), Target)
    server.daemon_threads = True
    server.key = key_of(os.environ["TARGET_SECRET"]) if os.environ.get("TARGET_SECRET") else None
    server.orders = Orders(sys.argv[2] if len(sys.argv) > 2 else "orders.db")
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
