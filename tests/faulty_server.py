"""A real HTTP server on loopback that answers as it is told: well, badly, late, or not at all."""

import json
import math
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    """One answer. `body` is bytes, or what becomes JSON."""

    body: object = b""
    status: int = 200
    content_type: str = "application/json"
    headers: dict = field(default_factory=dict)
    hang: float = 0.0
    """Seconds of silence before the answer; it ends early when the server is closed."""
    reset_after: int | None = None
    """Reset the connection after so many bytes of the body, although more were announced."""

    def data(self):
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Heard:
    """One request as it came in."""

    method: str
    path: str
    headers: dict
    data: bytes

    @property
    def json(self):
        return json.loads(self.data)


class FaultyServer:
    """Answers with `replies` in their order, the last one again and again; a reply may be a function of the request.

    `heard` holds the requests, `url` is the base url that clients are given, and `most_at_once` the most requests that
    were waiting for their answer at the same time.
    """

    def __init__(self):
        self.replies, self.heard, self.most_at_once = [], [], 0
        self._lock, self._at_once, self._closing = threading.Lock(), 0, threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Heard(self.command, self.path, dict(self.headers), data)
                with outer._lock:
                    outer.heard.append(request)
                    reply = outer.replies[0] if len(outer.replies) == 1 else outer.replies.pop(0)
                    outer._at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer._at_once)
                try:
                    chosen = reply(request) if callable(reply) else reply
                    outer._closing.wait(chosen.hang)
                finally:  # before the answer is out: the client may ask again before this thread goes on
                    with outer._lock:
                        outer._at_once -= 1
                self._send(chosen)

            def _send(self, reply):
                body = reply.data()
                try:
                    self.send_response(reply.status)
                    for name, value in {
                        "Content-Type": reply.content_type, "Content-Length": str(len(body)), **reply.headers,
                    }.items():  # fmt: skip
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body[: reply.reset_after])
                    self.wfile.flush()
                except OSError:  # the client has left
                    self.close_connection = True
                    return
                if reply.reset_after is not None:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True

            do_GET = do_POST = do_PATCH = _answer

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):  # resets are what it is for
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()


def chat_reply(text="{}", *, finish="stop", usage=(7, 3), **message):
    """A chat completion as endpoints write it."""
    return Reply(
        {
            "id": "c1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}],
            "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)},
        }
    )  # fmt: skip


def stream_reply(*deltas, finish="stop"):
    """The same in pieces, as server-sent events: one for each delta of the message."""
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    lines = [f"data: {json.dumps({**head, 'choices': [choice]})}\n\n" for choice in choices]
    return Reply("".join([*lines, "data: [DONE]\n\n"]).encode(), content_type="text/event-stream")


def refusal(message, status=400):
    """An error as endpoints write it, to be tried again at once where trying again makes sense."""
    return Reply({"error": {"message": message, "type": "error"}}, status, headers={"retry-after-ms": "5"})


def likely(text, **top):
    """A token of a completion's `logprobs`, with its alternatives as probabilities."""
    others = [{"token": t, "logprob": math.log(p), "bytes": list(t.encode())} for t, p in top.items()]
    return {"token": text, "logprob": math.log(top.get(text, 1.0)), "bytes": list(text.encode()), "top_logprobs": others}


def with_logprobs(reply, *tokens):
    """Add tokens made by `likely` to a chat completion."""
    reply.body["choices"][0]["logprobs"] = {"content": list(tokens)}
    return reply
