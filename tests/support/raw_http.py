"""Speak HTTP byte by byte, as clients do that no library would be."""

from __future__ import annotations

import json
import socket


def connection(port: int, sent: bytes = b"") -> socket.socket:
    """Return a connection to a service of this machine, over which something was sent."""
    made = socket.create_connection(("127.0.0.1", port), 30)
    made.sendall(sent)
    return made


def head(length: int | str, path: str = "/predict") -> bytes:
    """Return the head of a POST."""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


def everything(made: socket.socket) -> bytes:
    """Return what the service sends until it closes the connection."""
    got = b""
    try:
        while piece := made.recv(65_536):
            got += piece
    except ConnectionError:
        pass
    return got


def problem(answer: bytes) -> tuple[int, str]:
    """Return status and sentence of an answer that is one problem and nothing else. Raises AssertionError: else."""
    first, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    told = json.loads(body)
    assert status.startswith(f"HTTP/1.1 {told['status']} ")
    return told["status"], told["detail"]
