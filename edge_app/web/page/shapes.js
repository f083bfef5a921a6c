// The drawing: lines, region, masks and a rectangle on the road, what was undone, and a draft that a reload does not lose.

const DRAFT = "edge-app drawing", MOST_UNDO = 100;
const KEYS = ["left_to_right", "right_to_left", "left_to_right_bearing_deg", "right_to_left_bearing_deg", "lanes", "enters"];
const OTHER_WAY = { left_to_right: "right_to_left", right_to_left: "left_to_right" };

// A name as an id of topics and files: "Hafen Straße" -> "hafen-strasse".
export function toId(name) {
  const plain = name.replace(/ß/g, "ss").replace(/[đĐ]/g, "d").replace(/[øØ]/g, "o").replace(/[æÆ]/g, "ae");
  return plain.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 64).replace(/-+$/, "");
}

export const SIDES = { least: 0.3, most: 200 }; // m

export class Shapes {
  // state: what the server keeps: lines, region, masks, geometry. draft: name of what a reload does not lose.
  constructor(state, draft = DRAFT) {
    this.draft = draft;
    this.all = [
      ...state.lines.map((line) => ({ ...line, kind: "line", name: line.road || line.id, kept: true, points: [line.start, line.end] })),
      ...(state.region ? [{ kind: "region", points: [state.region.slice(0, 2), state.region.slice(2)] }] : []),
      ...state.masks.map((points) => ({ kind: "mask", points })),
      ...(state.geometry?.rectangle ? [{ kind: "geometry", points: state.geometry.rectangle, sides: state.geometry.sides_m }] : []),
    ];
    // Points with places on the road that a person has given in the file: shown, and not changed here.
    this.given = (state.geometry?.points || []).map(([x, y]) => [x, y]);
    this.base = state.base;
    this.saved = this.json();
    this.undone = [];
    this.before = [this.snapshot()];
  }

  // Bring back a draft of before a reload; returns "" without one, "older" where somebody has saved since, or "draft".
  restoreDraft() {
    let draft;
    try {
      draft = JSON.parse(sessionStorage.getItem(this.draft));
      if (!draft || draft.snapshot === this.snapshot()) return "";
      this.all = JSON.parse(draft.snapshot);
    } catch { return ""; }
    this.before.push(draft.snapshot);
    return !this.changed ? "" : draft.base === this.base ? "draft" : "older";
  }

  get changed() { return this.json() !== this.saved; }
  get canUndo() { return this.before.length > 1; }
  get canRedo() { return this.undone.length > 0; }

  ofKind(kind) { return this.all.filter((shape) => shape.kind === kind); }

  add(kind, points) {
    if (kind === "region" || kind === "geometry") this.all = this.all.filter((shape) => shape.kind !== kind);
    const shape = kind === "geometry" ? { kind, points: fourCorners(points), sides: [null, null] } : { kind, points };
    if (kind === "line") this.rename(shape, this.freeName());
    this.all.push(shape);
    return shape;
  }

  remove(shape) { this.all = this.all.filter((other) => other !== shape); }

  // A new line's id follows its name; that of a saved one stays, so that its counts go on.
  rename(shape, name) {
    shape.name = name;
    if (!shape.kept) shape.id = toId(name);
    const label = name.trim();
    shape.road = label === shape.id ? null : label;
  }

  // Turn a line round: what was left to right is now the other way, and so is all that is true of the road: bearings,
  // the side that enters, where lanes part. The names stay, and so change sides.
  flip(shape) {
    shape.points = [shape.points[1], shape.points[0]];
    shape.enters = OTHER_WAY[shape.enters] || null;
    shape.lanes = shape.lanes && rounded(shape.lanes.map((part) => 1 - part).reverse());
    [shape.left_to_right_bearing_deg, shape.right_to_left_bearing_deg] = [shape.right_to_left_bearing_deg, shape.left_to_right_bearing_deg];
  }

  freeName() {
    const taken = new Set(this.all.map((shape) => shape.id));
    for (let n = 1; ; n++) if (!taken.has(`line-${n}`)) return `line-${n}`;
  }

  // Note that a change is complete, so that it can be undone.
  commit() {
    const now = this.snapshot();
    if (now === this.before.at(-1)) return;
    this.before.push(now);
    this.before.splice(1, Math.max(0, this.before.length - MOST_UNDO));
    this.undone = [];
    this.keep(now);
  }

  undo() {
    if (!this.canUndo) return;
    this.undone.push(this.before.pop());
    this.take(this.before.at(-1));
  }

  redo() {
    if (!this.canRedo) return;
    this.before.push(this.undone.pop());
    this.take(this.before.at(-1));
  }

  // Note that the server has what is drawn; sent: the JSON that was sent, which may be older than the drawing. base: the
  // version that it has now.
  setSaved(sent, base = this.base) {
    this.saved = sent;
    this.base = base;
    for (const line of this.ofKind("line")) line.kept = true;
    this.keep(this.snapshot());
  }

  // Why the rectangle on the road cannot be saved, as a key of the messages; "" where it can.
  get sidesProblem() {
    const { sides = [] } = this.ofKind("geometry")[0] || {};
    if (sides.some((side) => side === null)) return "shape.no_sides";
    return sides.some((side) => !(side >= SIDES.least && side <= SIDES.most)) ? "shape.sides_range" : "";
  }

  // The rectangle on the road as the server takes it, null without one that has its two sides.
  get road() {
    const geometry = this.ofKind("geometry")[0];
    return geometry && !this.sidesProblem ? { rectangle: geometry.points.map(rounded), sides_m: geometry.sides } : null;
  }

  // The drawing as the server checks it: without a rectangle that is not ready.
  checked() { return JSON.stringify({ ...JSON.parse(this.json()), geometry: this.road }); }

  // The drawing as the server takes it.
  json() {
    const geometry = this.ofKind("geometry")[0];
    const region = this.ofKind("region")[0];
    return JSON.stringify({
      lines: this.ofKind("line").map((line) => ({
        id: line.id, start: rounded(line.points[0]), end: rounded(line.points[1]), road: line.road || null,
        ...Object.fromEntries(KEYS.map((key) => [key, line[key] ?? null])),
      })),
      region: region ? rectangle(region) : null,
      masks: this.ofKind("mask").map((mask) => mask.points.map(rounded)),
      geometry: geometry ? { rectangle: geometry.points.map(rounded), sides_m: geometry.sides } : null,
    });
  }

  snapshot() {
    return JSON.stringify(this.all.map(({ kind, points, id, name, road, kept, sides, ...rest }) => ({
      kind, points, id, name, road, kept, sides, ...Object.fromEntries(KEYS.map((key) => [key, rest[key]])),
    })));
  }

  take(snapshot) {
    const kept = new Set(this.ofKind("line").filter((line) => line.kept).map((line) => line.id));
    this.all = JSON.parse(snapshot).map((shape) => ({ ...shape, kept: shape.kept || kept.has(shape.id) }));
    this.keep(snapshot);
  }

  keep(snapshot) {
    try { if (this.changed) sessionStorage.setItem(this.draft, JSON.stringify({ base: this.base, snapshot })); else sessionStorage.removeItem(this.draft); } catch { /* the browser keeps nothing */ }
  }
}

// As exact as it is saved: what is checked is what is kept.
function rounded(values) { return values.map((value) => Math.round(value * 1e4) / 1e4); }

function rectangle({ points: [[a, b], [c, d]] }) {
  return rounded([Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)]);
}

// The corners of a rectangle on the road, from the near left one around it: of two opposite ones, or as they were tapped.
function fourCorners(points) {
  if (points.length > 2) return points;
  const [left, top, right, bottom] = rectangle({ points });
  return [[left, bottom], [right, bottom], [right, top], [left, top]];
}
