"""Read and write Label Studio's JSON: tasks with predictions go in, tasks with annotations come out.

Corners are in percent of the picture. A task's annotation that is ground truth counts first, then the newest; skipped
ones do not count. Labels of a detector are predictions: a task that has nothing else is one at which nobody has looked.
Pictures are in the file too, as data URLs, which Label Studio shows without a storage of its own.
Format: https://labelstud.io/guide/task_format and https://labelstud.io/guide/predictions
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from models.data.errors import UsageError
from models.data.formats import DOUBT, Labelled, Pictures, Row, Shown, number, plain, save, suffix_of, without_suffix
from models.data.problems import Problems
from models.data.samples import CLASSES, Sample

FILE: Final = "tasks.json"
INTERFACE: Final = "interface.xml"
"""The labelling interface of a project: which labels there are."""
MODEL: Final = "edge-app"
_LABEL, _IGNORED, _IMAGE, _SAYS = "label", "ignored", "image", "says"
_UPLOADED: Final = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""
_OWN: Final = "picture"
"""Key of a task's data with the picture's file name: the address of an image may hold none."""
PERCENT: Final = 100


def read(root: Path, pictures_in: Path, problems: Problems) -> Iterator[Labelled]:
    """Yield the pictures of a JSON file, or of all JSON files in a folder. Raises UsageError: when it is no export."""
    pictures = Pictures(pictures_in)
    for item in stated(root, problems):
        picture = pictures.find(item.picture.as_posix())
        if item.unlabelled:
            problems.add("picture without label", item.labels, f"{item.picture}: {item.unlabelled}")
        elif picture is None:
            problems.add("missing picture", item.labels, f"{item.picture} is not there")
        else:
            yield replace(item, picture=picture)
    for picture in pictures.not_asked():
        problems.add("picture without label", picture, "no task is about it")


def stated(root: Path, problems: Problems) -> Iterator[Labelled]:
    """Yield what tasks say of their pictures, which nobody looks for; also of those that nobody has labelled.

    The picture of an item is its file name as stated. Raises UsageError: as `read`.
    """
    files = [root] if root.is_file() else sorted(root.glob("*.json"))
    exports = [(path, tasks) for path in files if (tasks := _tasks(path, problems)) is not None]
    if not files or not (exports or problems.found):
        raise UsageError(f"{root} holds no tasks: in Label Studio export the project as JSON.")
    for path, tasks in exports:
        for place, task in enumerate(tasks, start=1):
            try:
                item = _item(task, path, problems)
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                problems.add("unreadable label", path, f"task {place}: {error!r}")
            else:
                yield item


def _tasks(path: Path, problems: Problems) -> list[Any] | None:
    """Return the tasks of an export; None for another file.

    Raises UsageError: for the short form of an export, which does not say what was skipped.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problems.add("unreadable label", path, str(error), getattr(error, "lineno", None))
        return None
    if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
        return None
    if any("data" not in task for task in content):
        raise UsageError(f"{path} is no whole export: in Label Studio choose JSON, not JSON-MIN.")
    return content


def _item(task: Mapping[str, Any], path: Path, problems: Problems) -> Labelled:
    """Return a task's picture with its labels. An export names predictions by their ids, and these say nothing."""
    name = _file(task["data"])
    done = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
    guessed = [one for one in task.get("predictions") or () if isinstance(one, dict)]
    if not done and not guessed:
        return Labelled(without_suffix(name), Path(name), path, (), pixels=False, unlabelled=_why(task))
    done.sort(key=lambda one: (bool(one.get("ground_truth")), str(one.get("updated_at") or one.get("created_at"))))
    if len(done) > 1:
        who = ", ".join(f"{_by(one) or 'somebody'} ({len(_regions(one))} boxes)" for one in reversed(done))
        problems.add("labelled twice", path, f"{name}: by {who}; the first of these is used")
    used = (done or guessed)[-1]
    regions = _regions(used)
    ignored = {one.get("id") for one in used["result"] if _IGNORED in one.get("value", {}).get("choices", ())}
    rows = [_row(one, one.get("id") in ignored, name, path, problems) for one in regions]
    return Labelled(
        name=without_suffix(name),
        picture=Path(name),
        labels=path,
        rows=tuple(row for row in rows if row),
        pixels=False,
        size=_size(regions),
        unchecked=not done,
        lost=rows.count(None),
        afresh=bool(done and task.get("predictions")) and not _continued(used),
        by=_by(used) if done else "",
        at=str(used.get("updated_at") or used.get("created_at") or "") if done else "",
        sha256=str(task["data"].get("sha256", "")),
    )


def _why(task: Mapping[str, Any]) -> str:
    """Return why nobody's labels of a task count."""
    draft = ", and a draft of it was not submitted" if task.get("drafts") else ""
    return ("it was skipped" if task.get("annotations") else "nobody has labelled it") + draft


def _file(data: Mapping[str, Any]) -> str:
    """Return the file name of a task's picture. Raises ValueError: when nothing names one."""
    if data.get(_OWN):
        return str(data[_OWN])
    address = next((value for value in data.values() if isinstance(value, str) and _names_file(value)), None)
    if address is None:
        raise ValueError("its data name no picture")
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")  # of local storage: /data/local-files/?d=folder/a.jpg
    if local:
        return unquote(local[0])
    folder, _, name = unquote(parts.path).rpartition("/")
    return _UPLOADED.sub("", name) if "/upload/" in f"{folder}/" else name


def _names_file(value: str) -> bool:
    return not value.startswith("data:") and "." in value.rpartition("/")[2]


def _by(annotation: Mapping[str, Any]) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        return str(who.get("email") or who.get("id") or "")
    return f"user {who}" if who is not None else ""


def _continued(annotation: Mapping[str, Any]) -> bool:
    """Return True when an annotation began from a prediction."""
    origins = [str(one.get("origin", "")) for one in annotation["result"]]
    return bool(annotation.get("parent_prediction")) or any(origin.startswith("prediction") for origin in origins)


def _regions(annotation: Mapping[str, Any]) -> list[Any]:
    """Return what has an extent: all results but choices and texts."""
    return [one for one in annotation["result"] if one["type"] not in ("choices", "textarea", "rating", "relation")]


def _size(regions: Iterable[Mapping[str, Any]]) -> tuple[int, int] | None:
    sizes = [(one.get("original_width"), one.get("original_height")) for one in regions]
    return next(((w, h) for w, h in sizes if isinstance(w, int) and isinstance(h, int)), None)


def _row(region: Mapping[str, Any], ignored: bool, name: str, path: Path, problems: Problems) -> Row | None:
    """Return a region as a box in 0..1; list one that is none and return None. name: of the picture."""
    try:
        kind, value = str(region["type"]), region["value"]
        if kind not in ("rectanglelabels", "polygonlabels"):
            raise ValueError("it is no box; draw one around the vehicle and choose a label")
        if value.get("rotation") or region.get("image_rotation"):
            raise ValueError("it is turned; draw it upright")
        if not value.get(kind):
            raise ValueError("it has no label")
        return Row(str(value[kind][0]), _corners(kind, value), None, ignored)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        problems.add("malformed line", path, f"{name}: {region.get('type', 'region')}: {error}")
        return None


def _corners(kind: str, value: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Return x0 y0 x1 y1 in 0..1."""
    if kind == "polygonlabels":
        xs, ys = ([number(point[axis]) / PERCENT for point in value["points"]] for axis in (0, 1))
        return min(xs), min(ys), max(xs), max(ys)
    x, y, width, height = (number(value[side]) for side in ("x", "y", "width", "height"))
    return x / PERCENT, y / PERCENT, (x + width) / PERCENT, (y + height) / PERCENT


def write(folder: Path, samples: Iterable[Sample]) -> None:
    """Write images/ and tasks.json with the labels as annotations, and interface.xml, which a project needs first."""
    _write(folder, plain(samples), "annotations")


def present(folder: Path, items: Iterable[Shown]) -> None:
    """Write images/, tasks.json with the labels and doubted places as predictions, and interface.xml."""
    _write(folder, items, "predictions")


def _write(folder: Path, items: Iterable[Shown], key: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(_task(folder, item, key), ensure_ascii=False) for item in items)
    with (folder / FILE).open("w", encoding="utf-8") as file:
        for place, line in enumerate(lines):
            file.write(("[\n" if not place else ",\n") + line)
        file.write("\n]\n")
    (folder / INTERFACE).write_text(interface(), encoding="utf-8")


def interface() -> str:
    """Return the labelling interface of a project, as its settings take it."""
    labels = "".join(f'    <Label value="{name}"/>\n' for name in CLASSES)
    labels += f'    <Label value="{DOUBT}" background="red"/>\n'
    return (
        f'<View>\n  <Header value="${_SAYS}"/>\n'
        f'  <RectangleLabels name="{_LABEL}" toName="{_IMAGE}" canRotate="false">\n{labels}  </RectangleLabels>\n'
        f'  <Choices name="{_IGNORED}" toName="{_IMAGE}" perRegion="true" choice="multiple">\n'
        f'    <Choice value="{_IGNORED}"/>\n  </Choices>\n'
        f'  <Image name="{_IMAGE}" value="${_IMAGE}"/>\n</View>\n'
    )


def _task(folder: Path, item: Shown, key: str) -> dict[str, Any]:
    sample = item.sample
    suffix = suffix_of(sample.image)
    code = base64.b64encode(sample.image).decode("ascii")
    texts = [text for text in (*item.says, *(one.says for one in item.places)) if text]
    data = {
        _OWN: save(folder / "images", sample),
        "sha256": sample.sha256,
        _SAYS: "" if item.unchecked else "; ".join(texts),
        _IMAGE: f"data:image/{'png' if suffix == '.png' else 'jpeg'};base64,{code}",
    }
    result = list(_results(item))
    one = {"result": result} | ({"model_version": MODEL} if key == "predictions" else {"was_cancelled": False})
    return {"data": data, key: [one]}


def _results(item: Shown) -> Iterator[dict[str, Any]]:
    sample = item.sample
    size = {"original_width": sample.width, "original_height": sample.height, "image_rotation": 0}
    rows = zip(sample.boxes.astype(float).tolist(), sample.classes, sample.ignored, item.says, strict=True)
    for place, (box, kind, ignored, says) in enumerate(rows):
        common = {"id": f"label-{place}", "to_name": _IMAGE} | size
        yield _region(common, CLASSES[kind], box, says)
        if ignored:
            yield common | {
                "from_name": _IGNORED, "type": "choices", "value": _extent(box) | {"choices": [_IGNORED]},
            }  # fmt: skip
    for place, one in enumerate(item.places):
        yield _region({"id": f"doubt-{place}", "to_name": _IMAGE} | size, DOUBT, one.box, one.says)


def _region(common: Mapping[str, Any], label: str, box: Iterable[float], says: str) -> dict[str, Any]:
    value = _extent(box) | {"rectanglelabels": [label]}
    meta = {"meta": {"text": [says]}} if says else {}
    return {**common, "from_name": _LABEL, "type": "rectanglelabels", "value": value, **meta}


def _extent(box: Iterable[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = (value * PERCENT for value in box)
    return {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0}
