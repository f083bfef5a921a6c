// Points, lines and rectangles on the picture. Points are x, y in 0..1 of it, as in the configuration; `size` is its
// width and height on the screen, px, in which a hand measures.

const SNAP_TO = 15, SNAP_WITHIN = 2; // degrees

export function clamp(value) { return Math.min(1, Math.max(0, value)); }

export function distance(a, b, { w, h }) { return Math.hypot((a[0] - b[0]) * w, (a[1] - b[1]) * h); }

// How far a point is from the straight way between two others, px.
export function distanceTo(point, [a, b], { w, h }) {
  const [px, py, ax, ay, bx, by] = [point[0] * w, point[1] * h, a[0] * w, a[1] * h, b[0] * w, b[1] * h];
  const length = (bx - ax) ** 2 + (by - ay) ** 2 || 1;
  const part = clamp(((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length);
  return Math.hypot(px - ax - part * (bx - ax), py - ay - part * (by - ay));
}

// The angle of a line to the horizontal, degrees, 0..179, anticlockwise as one reads it on the screen.
export function angle([a, b], { w, h }) {
  return Math.round((Math.atan2((a[1] - b[1]) * h, (b[0] - a[0]) * w) * 180 / Math.PI + 360) % 180) % 180;
}

// The end of a line, turned to the nearest multiple of 15 degrees when it is almost there.
export function snapped(from, to, { w, h }) {
  const dx = (to[0] - from[0]) * w, dy = (to[1] - from[1]) * h, length = Math.hypot(dx, dy);
  const now = Math.atan2(dy, dx), step = SNAP_TO * Math.PI / 180, near = Math.round(now / step) * step;
  if (Math.abs(now - near) * 180 / Math.PI > SNAP_WITHIN || !length) return to;
  const end = [from[0] + Math.cos(near) * length / w, from[1] + Math.sin(near) * length / h];
  return end.every((value) => value >= 0 && value <= 1) ? end : to;
}

// All points, moved by the same way and as far as the picture allows.
export function moved(points, dx, dy) {
  const limit = (values, by) => Math.min(1 - Math.max(...values), Math.max(-Math.min(...values), by));
  const x = limit(points.map((p) => p[0]), dx), y = limit(points.map((p) => p[1]), dy);
  return points.map((p) => [clamp(p[0] + x), clamp(p[1] + y)]);
}

// The corners of a shape: two points of a region or a mask are a rectangle.
export function corners({ kind, points, unfinished }) {
  if (kind === "line" || unfinished || points.length > 2) return points;
  const [[a, b], [c, d]] = points;
  return [[a, b], [c, b], [c, d], [a, d]];
}

// The sides of a shape, each two points.
export function sides(shape) {
  const all = corners(shape);
  if (shape.kind === "line") return [all];
  return all.map((point, n) => [point, all[(n + 1) % all.length]]);
}

export function isInside([x, y], shape) {
  return sides(shape).reduce((inside, [[ax, ay], [bx, by]]) => inside !== ((ay > y) !== (by > y) && x < ax + (y - ay) / (by - ay) * (bx - ax)), false);
}
