// Draw with mouse or finger: new shapes, their points, and whole shapes that are moved.

import { clamp, distance, distanceTo, isInside, moved, sides, snapped } from "./geometry.js";
import { t } from "./messages.js";

const REACH = 22; // px: half of what a finger covers
const SHORTEST = 12; // px: a shorter drag is a tap
const LEAST_CORNERS = { mask: 3, geometry: 4 }; // a mask ends where it began, a rectangle on the road with its fourth
const STEP = 0.002; // of the picture, for an arrow key

export class Hand {
  // sheet: element that is drawn on. view: has shapes, size, chosen, zoom; choose, add, draw, changed and done.
  constructor(sheet, view) {
    Object.assign(this, { sheet, view, tool: "none", drag: null, outline: null });
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) sheet.addEventListener(kind, (event) => this.onPointer(event));
  }

  get busy() { return this.drag !== null; }

  // The shape that is being drawn, null without one.
  get drawn() {
    if (this.outline) return { ...this.outline, unfinished: true };
    if (!this.drag?.from || distance(this.drag.from, this.drag.to, this.view.size) < SHORTEST) return null;
    return this.drag.made = this.drag.made || { kind: this.tool, points: [this.drag.from, this.drag.to] };
  }

  // The line whose angle is changing, null without one.
  get turning() { return this.drag?.shape?.kind === "line" && this.drag.n !== undefined ? this.drag.shape : this.drag?.made || null; }

  choose(tool) {
    this.tool = tool;
    this.outline = null;
    for (const button of document.querySelectorAll("#tools [data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    document.getElementById("hint").textContent = t(`hint.${tool}`);
    this.sheet.style.cursor = tool === "none" ? "default" : "crosshair";
    this.view.draw();
  }

  nudge(key, steps) {
    const { chosen } = this.view, by = steps * STEP;
    const [dx, dy] = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[key] || [0, 0];
    chosen.points = moved(chosen.points, dx, dy);
    this.view.draw();
    this.view.done();
  }

  onPointer(event) {
    if (!this.view.shapes) return;
    if (this.view.zoom.touch(event)) { this.cancel(); return; }
    if (!event.isPrimary || event.button > 0) return;
    const at = this.position(event);
    if (event.type === "pointerdown") this.down(event, at);
    else if (event.type === "pointermove" && this.drag) this.move(at, event.altKey);
    else if (event.type === "pointerup" && this.drag) this.up();
    else if (event.type === "pointercancel") this.cancel();
    this.view.draw();
  }

  position(event) {
    const box = this.sheet.getBoundingClientRect();
    return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
  }

  down(event, at) {
    event.preventDefault();
    this.sheet.focus({ preventScroll: true });
    this.sheet.setPointerCapture(event.pointerId);
    const held = this.outline ? null : this.point(at) || (this.tool === "none" ? this.body(at) : null);
    if (held) {
      this.view.choose(held.shape);
      this.drag = { ...held, at, points: held.shape.points };
    } else if (this.tool !== "none") this.drag = { from: at, to: at };
    else this.view.choose(null);
  }

  // The nearest end or corner within reach.
  point(at) {
    let best = null;
    for (const shape of this.view.shapes.all) shape.points.forEach((point, n) => {
      const away = distance(point, at, this.view.size);
      if (away <= REACH && (!best || away < best.away)) best = { shape, n, away };
    });
    return best;
  }

  // The line or the rim within reach, or the mask around this point: it is moved as a whole.
  body(at) {
    const away = (shape) => Math.min(...sides(shape).map((side) => distanceTo(at, side, this.view.size)));
    const near = this.view.shapes.all.map((shape) => ({ shape, away: away(shape) })).filter((one) => one.away <= REACH).sort((a, b) => a.away - b.away);
    const inside = this.view.shapes.all.find((shape) => shape.kind === "mask" && isInside(at, shape));
    return near[0] ? { shape: near[0].shape } : inside ? { shape: inside } : null;
  }

  move(at, free) {
    const { drag } = this, { size } = this.view;
    const turned = (from, to) => (free ? to : snapped(from, to, size));
    if (!drag.shape) {
      drag.to = this.tool === "line" ? turned(drag.from, at) : at;
      drag.made = null;
    } else if (drag.n === undefined) {
      drag.shape.points = moved(drag.points, at[0] - drag.at[0], at[1] - drag.at[1]);
      this.view.changed();
    } else {
      const other = drag.shape.points[1 - drag.n];
      drag.shape.points = drag.shape.points.map((point, n) => (n !== drag.n ? point : drag.shape.kind === "line" ? turned(other, at) : at));
      this.view.changed();
    }
  }

  up() {
    const { drag } = this, dragged = drag.from && distance(drag.from, drag.to, this.view.size) >= SHORTEST;
    this.drag = null;
    if (drag.shape) this.view.done();
    else if (this.tool in LEAST_CORNERS && (this.outline || !dragged)) this.corner(drag.to);
    else if (dragged) this.view.add(this.tool, [drag.from, drag.to]);
  }

  corner(at) {
    const { kind, points } = this.outline = this.outline || { kind: this.tool, points: [] };
    const closed = kind === "mask" && points.length >= LEAST_CORNERS.mask && this.view.isNear(points[0], at, REACH);
    if (!closed) points.push(at);
    if (!closed && (kind === "mask" || points.length < LEAST_CORNERS.geometry)) return;
    this.outline = null;
    this.view.add(kind, points);
  }

  // A second finger zooms: what the first one has begun is taken back.
  cancel() {
    if (this.drag?.shape) this.drag.shape.points = this.drag.points;
    this.drag = null;
  }
}
