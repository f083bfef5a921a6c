// Draw shapes over the picture.

import { angle, corners } from "./geometry.js";
import { number, t } from "./messages.js";
import { svg } from "./elements.js";

const COLOURS = { line: "#ffd84a", region: "#5cc8ff", mask: "#ff6b9d", geometry: "#5dffb0" };
const DARK = "#0b0f13";

// shapes: those that exist and the one that is being drawn. chosen: drawn stronger. turning: a line whose angle is told.
// grid: lines of metres on the road, each a list of points. given: points that are not drawn here.
export function drawShapes(sheet, shapes, size, { chosen, turning, grid, given }) {
  sheet.replaceChildren();
  drawGrid(sheet, grid, given, size, chosen?.kind === "geometry");
  const { w, h } = size;
  const all = ["region", "mask", "geometry", "line"].flatMap((kind) => shapes.filter((shape) => shape.kind === kind)); // lines on top
  // Names of directions and lengths of the rectangle lie in each other's way: those are told that somebody works with.
  const lines = all.filter((shape) => shape.kind === "line"), measuring = chosen?.kind === "geometry" || !lines.length;
  const only = lines.length === 1 && !measuring ? lines[0] : null;
  for (const shape of all) {
    const colour = COLOURS[shape.kind], strong = shape === chosen, open = shape.kind === "line" || shape.unfinished;
    const points = corners(shape).map(([x, y]) => `${x * w},${y * h}`).join(" ");
    const common = { points, fill: "none", "stroke-linejoin": "round", "stroke-linecap": "round" };
    const name = open ? "polyline" : "polygon";
    sheet.append(svg(name, { ...common, stroke: DARK, "stroke-width": strong ? 8 : 6 }));
    if (shape.kind === "mask" && !open) common.fill = "rgba(10, 10, 14, .72)";
    if (shape.kind === "region") common["stroke-dasharray"] = "9 7";
    sheet.append(svg(name, { ...common, stroke: colour, "stroke-width": strong ? 4 : 3 }));
    if (shape.kind === "line") drawDirections(sheet, shape, size, strong || only === shape);
    for (const [x, y] of shape.points) sheet.append(svg("circle", { cx: x * w, cy: y * h, r: strong ? 10 : 8, fill: colour, stroke: DARK, "stroke-width": 2 }));
    if (shape.kind === "geometry" && !shape.unfinished && shape.sides) { if (measuring) drawSides(sheet, shape, size); }
    else drawLabel(sheet, shape, size, shape === turning);
  }
}

function drawGrid(sheet, grid, given, { w, h }, strong) {
  const picture = svg("svg", { width: w, height: h, overflow: "hidden" }); // the road goes on beyond it
  sheet.append(picture);
  for (const line of grid) {
    const points = line.map(([x, y]) => `${x * w},${y * h}`).join(" ");
    picture.append(svg("polyline", { points, class: "metres", fill: "none", stroke: COLOURS.geometry, "stroke-width": 1.5, "stroke-opacity": strong ? .6 : .4 }));
  }
  for (const [x, y] of given) picture.append(svg("circle", { cx: x * w, cy: y * h, r: 5, class: "given", fill: "none", stroke: COLOURS.geometry, "stroke-width": 2 }));
}

// The number of each corner, and the lengths of the sides from the first to the second and on to the third: outside.
function drawSides(sheet, { points, sides }, size) {
  const all = points.map(([x, y]) => [x * size.w, y * size.h]);
  const middle = mean(all);
  all.forEach((corner, n) => drawOutside(sheet, corner, middle, 22, String(n + 1), size));
  sides.forEach((side, n) => {
    if (side !== null) drawOutside(sheet, mean([all[n], all[n + 1]]), middle, 20, t("shape.metres", { n: number(side, 2) }), size);
  });
}

function mean(points) { return [0, 1].map((n) => points.reduce((sum, point) => sum + point[n], 0) / points.length); }

// Draw a text beside a point, px, on the side that is away from the middle.
function drawOutside(sheet, [x, y], [mx, my], by, text, size) {
  const length = Math.hypot(x - mx, y - my) || 1, dx = (x - mx) / length, dy = (y - my) / length;
  const side = dx > .5 ? "start" : dx < -.5 ? "end" : "middle";
  place(sheet, svg("text", { x: x + dx * by * (side === "middle" ? 1 : .7), y: y + dy * by + 5, "text-anchor": side }, text), size);
}

function drawLabel(sheet, shape, size, turning) {
  if (shape.unfinished) return;
  const { w, h } = size;
  const degrees = turning ? `  ${t("shape.angle", { degrees: angle(shape.points, size) })}` : "";
  const text = shape.kind === "line" ? `${shape.name || ""}${degrees}` : t(`shape.${shape.kind}`);
  const [x, y] = shape.kind === "line" ? shape.points[0] : corners(shape).reduce((a, b) => (b[1] < a[1] ? b : a));
  place(sheet, svg("text", { x: x * w + 14, y: y * h - 12 }, text), size);
}

// Seen by somebody who stands at the first point and looks to the second. Y points down, so the arrow from left to
// right is the line turned clockwise.
// named: beside their names, for which there is no room beside every line.
function drawDirections(sheet, shape, size, named) {
  const { w, h } = size, [[x0, y0], [x1, y1]] = shape.points, dx = (x1 - x0) * w, dy = (y1 - y0) * h, length = Math.hypot(dx, dy) || 1;
  for (const [part, sign, way] of [[.4, 1, "left_to_right"], [.6, -1, "right_to_left"]]) {
    const nx = -dy / length * sign, ny = dx / length * sign, x = x0 * w + dx * part, y = y0 * h + dy * part;
    const tip = [x + nx * 34, y + ny * 34], neck = [x + nx * 22, y + ny * 22];
    const points = [tip, [neck[0] - ny * 8, neck[1] + nx * 8], [neck[0] + ny * 8, neck[1] - nx * 8]].map((p) => p.join(",")).join(" ");
    for (const [stroke, width] of [[DARK, 7], ["#fff", 4]]) sheet.append(svg("line", { x1: x, y1: y, x2: neck[0], y2: neck[1], stroke, "stroke-width": width }));
    sheet.append(svg("polygon", { points, fill: "#fff", stroke: DARK, "stroke-width": 1.5 }));
    if (!named) continue;
    const beside = tip[1] > h - 18 || tip[1] < 18; // below or above the arrow there is no room
    const side = beside || nx > .3 ? "start" : nx < -.3 ? "end" : "middle";
    const at = beside ? { x: tip[0] + 14, y: tip[1] } : { x: tip[0] + nx * 8, y: tip[1] + ny * 14 + 4 };
    place(sheet, svg("text", { ...at, "text-anchor": side }, shape[way] || t(`direction.${way}`)), size);
  }
}

// Add a text and shift it so that it stays in the picture.
function place(sheet, text, { w, h }) {
  sheet.append(text);
  const box = text.getBBox();
  for (const [name, from, length, end] of [["x", box.x, box.width, w - 4], ["y", box.y, box.height, h]]) {
    const shift = Math.min(0, end - from - length) || Math.max(0, 4 - from);
    if (shift) text.setAttribute(name, Number(text.getAttribute(name)) + shift);
  }
}
