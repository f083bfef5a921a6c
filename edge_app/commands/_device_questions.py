"""The questions of `edge-app setup`, and how their answers are judged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edge_app.commands._answers import is_address, source_table, tables_of
from edge_app.commands._questions import Question, Rules, unreachable

QUESTIONS: Final = (
    Question("enrolment", "Enrolment file of the city, *.p12; empty: none"),
    Question("site", "Site, such as harbour (a-z, 0-9, hyphen)", None, ("device.site",)),
    Question("device", "Device, unique within the site, such as pole-7", None, ("device.device",)),
    Question(
        "source",
        "Camera: a number of the list, /dev/video0, picamera, jetson-csi, an IP address, rtsp://..., a video file, or "
        "street (invented counts)",
        "/dev/video0",
        ("source.",),
    ),
    Question("camera-user", "User name at the camera; empty: none", "", ("source.username",)),
    Question("line", "Counting line ID:x0,y0,x1,y1 in 0..1 of the picture", "main:0.1,0.6,0.9,0.6", ("lines",)),
    Question("broker", "Broker, HOST or HOST:PORT", None, ("mqtt.host", "mqtt.port")),
    Question("ca", "Authority of the broker, a PEM file; empty: the system's, - for no encryption"),
    Question("cert", "Certificate of this device, a PEM file; empty: none"),
    Question("key", "Its key; empty: the service's credential mqtt_key"),
    Question("username", "User name at the broker; empty: none", "", ("mqtt.username",)),
)
_HARMLESS: Final = {
    "site": "site",
    "device": "device",
    "source": "street",
    "line": "main:0,0,1,1",
    "broker": "localhost",
}


def _validated(tables: Mapping[str, Any]) -> object:
    from edge_app.config.load import validated

    return validated(tables, Path.cwd())


def _doubt(question: Question, answer: str, before: Mapping[str, str]) -> str:
    """Return one sentence on a valid answer that does not work now, empty when it does: the service might be away."""
    if question.flag == "broker":
        return unreachable(answer, encrypted=before.get("ca") != "-")
    if question.flag in ("ca", "cert", "key") and answer not in ("", "-") and not Path(answer).is_file():
        return f"There is no file {answer}."
    if question.flag != "source" or is_address(answer):
        return ""
    table = source_table(answer)
    if table["kind"] == "file" and not Path(answer).is_file():
        return f"There is no file {answer}, and this is no other camera that is known."
    if table["kind"] == "camera" and answer.startswith("/") and not Path(answer).exists():
        present = ", ".join(str(path) for path in sorted(Path("/dev").glob("video*"))) or "no /dev/video at all"
        return f"There is no camera {answer} (the system has {present})."
    return ""


RULES: Final = Rules(QUESTIONS, _HARMLESS, lambda answers: tables_of(answers, "/"), _validated, _doubt)
