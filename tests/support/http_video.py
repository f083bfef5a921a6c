"""HTTP camera for tests: multipart JPEG, as most network cameras offer it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2

from tests.support.videos import picture

_RATE = 25.0


class HttpCamera:
    """Server of `/road` until it is closed.

    frozen: send the same picture again and again. answer: status code; any but 200 refuses the request. requests:
    number of requests so far.
    """

    def __init__(self) -> None:
        self.frozen = False
        self.answer = 200
        self.requests = 0
        self._number = 0
        self._end = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.requests += 1
                self.send_response(camera.answer)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                if camera.answer == 200:
                    camera.send_pictures(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/road"

    def send_pictures(self, handler: BaseHTTPRequestHandler) -> None:
        self._number += 1  # a new connection begins with another picture, as after a new key frame
        while not self._end.wait(1 / _RATE):
            self._number += not self.frozen
            jpeg = cv2.imencode(".jpg", picture(self._number))[1].tobytes()
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                handler.wfile.write(head.encode() + jpeg + b"\r\n")
            except OSError:
                return

    def close(self) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> HttpCamera:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
