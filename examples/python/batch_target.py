"""A target for sqsonce's batches (--target-batch) from Python's standard library.

    python3 batch_target.py PORT

Each POST brings a JSON array of messages. The name of a message is the key of its
effect, so that a repeated attempt finds it done. The answer names the messages that
failed, as a Lambda function does for SQS.
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

booked = {}  # a real one is a database, and books the whole batch in one transaction


def book(message):
    """Books one order. ValueError: no retry can cure it."""
    order = json.loads(message["body"])
    if not isinstance(order, dict) or not isinstance(order.get("total"), int):
        raise ValueError("total: want a whole number")
    booked.setdefault(message["name"], order["total"])


class Target(BaseHTTPRequestHandler):
    def do_POST(self):
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        failures = []
        for message in batch:
            try:
                book(message)
            except ValueError as problem:
                # Without "status" it counts as 500: the message is tried again.
                failures.append({"itemIdentifier": message["messageId"], "status": 422, "error": str(problem)})
        answer = json.dumps({"batchItemFailures": failures}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Target)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
