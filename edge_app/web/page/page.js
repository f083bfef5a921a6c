"use strict";
// Draw lines, region and masks over the live picture. Points are x, y in 0..1 of the picture, as in the configuration.

const $ = (id) => document.getElementById(id);
const HINTS = {
  line: "Press where the line begins, drag across the road, let go. It may be longer than the road is wide.",
  region: "Drag over the part with traffic: the detector sees only this part, so vehicles are larger for it.",
  mask: "Tap the corners one after the other and the first one again, or drag a rectangle. A mask is black for everybody.",
  none: "Drag a round handle to move a point. Choose Line, Region or Mask to draw another one.",
};
const COLOURS = { line: "#ffd84a", region: "#5cc8ff", mask: "#e0457b" };
const REACH = 20; // px: how far from a handle a finger still takes hold of it
const SHORTEST = 12; // px: a shorter drag is a tap

let shapes = []; // {kind, points: [[x, y], ...], id, left_to_right, right_to_left, findings}
let tool = "none", chosen = null, drag = null, saved = "", checkTimer = 0, requests = 0;
let outline = null; // the mask whose corners are being tapped

function size() { return { w: $("sheet").clientWidth, h: $("sheet").clientHeight }; }
function clamp(v) { return Math.min(1, Math.max(0, v)); }

function position(event) {
  const box = $("sheet").getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}

function distance(a, b) { const { w, h } = size(); return Math.hypot((a[0] - b[0]) * w, (a[1] - b[1]) * h); }

function nearest(at) {
  let best = null;
  for (const shape of shapes) shape.points.forEach((point, n) => {
    const away = distance(point, at);
    if (away <= REACH && (!best || away < best.away)) best = { shape, n, away };
  });
  return best;
}

// --- drawing with mouse or finger

function onDown(event) {
  if (!event.isPrimary || event.button > 0) return;
  event.preventDefault();
  $("sheet").setPointerCapture(event.pointerId);
  const at = position(event), handle = outline ? null : nearest(at);
  if (handle) {
    chosen = handle.shape;
    drag = { shape: handle.shape, n: handle.n };
  } else if (tool !== "none") {
    drag = { from: at, to: at };
  } else {
    chosen = null;
  }
  draw();
}

function onMove(event) {
  if (!drag || !event.isPrimary) return;
  const at = position(event);
  if (drag.shape) { drag.shape.points[drag.n] = at; changed(); } else drag.to = at;
  draw();
}

function onUp(event) {
  if (!drag || !event.isPrimary) return;
  const done = drag, dragged = !done.shape && distance(done.from, done.to) >= SHORTEST;
  drag = null;
  if (done.shape) { listShapes(); changed(); }
  else if (tool === "mask" && (outline || !dragged)) corner(done.to);
  else if (dragged) add(tool, [done.from, done.to]);
  draw();
}

function corner(at) {
  if (!outline) outline = { kind: "mask", points: [at] };
  else if (outline.points.length > 2 && distance(outline.points[0], at) <= REACH) { const points = outline.points; outline = null; add("mask", points); }
  else outline.points.push(at);
}

function add(kind, points) {
  if (kind === "region") shapes = shapes.filter((shape) => shape.kind !== "region");
  const shape = { kind, points, findings: [] };
  if (kind === "line") shape.id = freeName();
  shapes.push(shape);
  chosen = shape;
  choose("none");
  listShapes();
  changed();
}

function freeName() {
  const taken = new Set(shapes.map((shape) => shape.id));
  for (let n = 1; ; n++) if (!taken.has(`line-${n}`)) return `line-${n}`;
}

function choose(name) {
  tool = name;
  outline = null;
  for (const button of document.querySelectorAll("#tools button")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  $("hint").textContent = HINTS[name];
  $("sheet").style.cursor = name === "none" ? "default" : "crosshair";
  draw();
}

// --- showing shapes and findings

function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function corners(shape) {
  if (shape.kind === "line" || shape.unfinished || shape.points.length > 2) return shape.points;
  const [[a, b], [c, d]] = shape.points;
  return [[a, b], [c, b], [c, d], [a, d]];
}

function draw() {
  const sheet = $("sheet"), { w, h } = size();
  sheet.replaceChildren();
  const px = (points) => points.map(([x, y]) => `${x * w},${y * h}`).join(" ");
  const all = ["region", "mask", "line"].flatMap((kind) => shapes.filter((shape) => shape.kind === kind)); // lines are drawn on top
  if (outline) all.push({ ...outline, unfinished: true });
  if (drag && !drag.shape && distance(drag.from, drag.to) >= SHORTEST && !outline) all.push({ kind: tool, points: [drag.from, drag.to] });
  for (const shape of all) {
    const colour = COLOURS[shape.kind], strong = shape === chosen;
    const common = { points: px(corners(shape)), fill: "none", "stroke-linejoin": "round", "stroke-linecap": "round" };
    const kind = shape.kind === "line" || shape.unfinished ? "polyline" : "polygon";
    if (shape.kind === "mask" && !shape.unfinished) common.fill = "rgba(10, 10, 14, .72)";
    sheet.append(svg(kind, { ...common, stroke: "#0b0f13", "stroke-width": strong ? 8 : 6, fill: "none" }));
    sheet.append(svg(kind, { ...common, stroke: colour, "stroke-width": strong ? 4 : 3, ...(shape.kind === "region" ? { "stroke-dasharray": "9 7" } : {}) }));
    if (shape.kind === "line") drawDirections(sheet, shape, w, h);
    for (const [x, y] of shape.points) sheet.append(svg("circle", { cx: x * w, cy: y * h, r: strong ? 9 : 7, fill: colour, stroke: "#0b0f13", "stroke-width": 2 }));
    label(sheet, shape, w, h);
  }
}

function label(sheet, shape, w, h) {
  const text = shape.kind === "line" ? shape.id : shape.unfinished ? "" : shape.kind;
  if (!text) return;
  const [x, y] = shape.kind === "line" ? shape.points[0] : corners(shape).reduce((a, b) => (b[1] < a[1] ? b : a));
  sheet.append(svg("text", { x: Math.min(w - 60, x * w + 13), y: Math.max(16, Math.min(h - 8, y * h - 11)) }, text));
}

// Seen by somebody who stands at the first point and looks to the second. Y points down, so the arrow from left to
// right is the line turned clockwise.
function drawDirections(sheet, shape, w, h) {
  const [[x0, y0], [x1, y1]] = shape.points, dx = (x1 - x0) * w, dy = (y1 - y0) * h, length = Math.hypot(dx, dy) || 1;
  for (const [part, sign, name] of [[.4, 1, shape.left_to_right || "left to right"], [.6, -1, shape.right_to_left || "right to left"]]) {
    const nx = -dy / length * sign, ny = dx / length * sign, x = x0 * w + dx * part, y = y0 * h + dy * part;
    const tip = [x + nx * 34, y + ny * 34], neck = [x + nx * 22, y + ny * 22];
    const points = [tip, [neck[0] - ny * 8, neck[1] + nx * 8], [neck[0] + ny * 8, neck[1] - nx * 8]].map((p) => p.join(",")).join(" ");
    for (const [stroke, width] of [["#0b0f13", 7], ["#fff", 4]]) sheet.append(svg("line", { x1: x, y1: y, x2: neck[0], y2: neck[1], stroke, "stroke-width": width }));
    sheet.append(svg("polygon", { points, fill: "#fff", stroke: "#0b0f13", "stroke-width": 1.5 }));
    const side = nx > .3 ? "start" : nx < -.3 ? "end" : "middle";
    const text = svg("text", { x: tip[0] + nx * 8, y: tip[1] + ny * 14 + 4, "text-anchor": side }, name);
    sheet.append(text);
    const box = text.getBBox(), shift = Math.min(0, w - 4 - box.x - box.width) || Math.max(0, 4 - box.x); // stay in the picture
    if (shift) text.setAttribute("x", Number(text.getAttribute("x")) + shift);
  }
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function listShapes() {
  $("shapes").replaceChildren(...shapes.map((shape) => {
    const card = element("div", { className: `shape ${shape.kind}` });
    const remove = element("button", { type: "button", textContent: "Delete", onclick: () => {
      shapes = shapes.filter((other) => other !== shape);
      if (chosen === shape) chosen = null;
      listShapes(); draw(); changed();
    } });
    const title = { line: "Counting line", region: "Region", mask: "Mask" }[shape.kind];
    card.append(element("div", { className: "head" }, element("strong", { textContent: title }), remove));
    if (shape.kind === "line") {
      card.append(field(shape, "id", "name", "main-road"), field(shape, "left_to_right", "left to right", "northbound"),
        field(shape, "right_to_left", "right to left", "southbound"));
    }
    card.append(element("div", { className: "findings" }));
    card.onpointerdown = () => { chosen = shape; markChosen(); draw(); };
    shape.card = card;
    return card;
  }));
  markChosen();
  showFindings();
}

function field(shape, key, name, example) {
  const input = element("input", { value: shape[key] || "", placeholder: example, autocomplete: "off", spellcheck: false, maxLength: 64 });
  input.dataset.key = key;
  input.oninput = () => { shape[key] = input.value.trim(); draw(); changed(); };
  return element("label", {}, element("span", { textContent: name }), input);
}

function markChosen() { for (const shape of shapes) shape.card.classList.toggle("chosen", shape === chosen); }

function paragraph(finding) {
  const sentence = finding.sentence || finding.what;
  return element("p", { className: `finding ${finding.level}`, textContent: sentence.charAt(0).toUpperCase() + sentence.slice(1) });
}

function showFindings() {
  for (const shape of shapes) shape.card.querySelector(".findings").replaceChildren(...(shape.findings || []).map(paragraph));
}

// --- requests to edge-app

function rectangle(shape) {
  const [[a, b], [c, d]] = shape.points;
  return [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)];
}

function drawing() {
  const ofKind = (kind) => shapes.filter((shape) => shape.kind === kind);
  const region = ofKind("region")[0];
  return JSON.stringify({
    lines: ofKind("line").map((s) => ({ id: s.id, start: s.points[0], end: s.points[1], left_to_right: s.left_to_right || null, right_to_left: s.right_to_left || null })),
    region: region ? rectangle(region) : null,
    masks: ofKind("mask").map((s) => s.points),
  });
}

async function call(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body };
  const answer = await fetch(path, options), data = await answer.json();
  if (!answer.ok) throw new Error(data.problems.join("\n"));
  return data;
}

function changed() {
  $("save").disabled = drawing() === saved;
  if (!$("save").disabled) showStatus("", "");
  clearTimeout(checkTimer);
  checkTimer = setTimeout(checkLines, 200);
}

async function checkLines() {
  const request = ++requests;
  let findings;
  try { findings = (await call("check", drawing())).findings; } catch (error) { showStatus(error.message, "bad"); return; }
  if (request !== requests) return; // a newer request is under way
  const lines = shapes.filter((shape) => shape.kind === "line");
  const owner = (finding) => lines.find((line, n) => finding.line && (line.id === finding.line || String(n + 1) === finding.line));
  for (const shape of shapes) {
    shape.findings = findings.filter((f) => owner(f) === shape);
    if (shape.kind === "region") shape.findings.push(...findings.filter((f) => f.what === "detector.region"));
  }
  $("general").replaceChildren(...findings.filter((f) => !owner(f) && f.what !== "detector.region").map(paragraph));
  $("save").disabled = drawing() === saved || findings.some((f) => f.level === "FAIL");
  showFindings();
}

function showStatus(text, kind) { $("status").textContent = text; $("status").className = kind; }

async function save() {
  const text = drawing();
  try { showStatus((await call("save", text)).saved, "good"); saved = text; } catch (error) { showStatus(error.message, "bad"); }
  $("save").disabled = drawing() === saved;
}

async function refresh() {
  let wait = 250;
  try {
    const answer = await fetch("picture.jpg");
    if (!answer.ok) throw new Error((await answer.json()).problems.join("\n"));
    const url = URL.createObjectURL(await answer.blob()), next = new Image();
    next.src = url;
    await next.decode();
    const old = $("picture").src;
    $("picture").src = url;
    if (old) URL.revokeObjectURL(old);
    $("waiting").hidden = true;
    fit(next.naturalWidth / next.naturalHeight);
  } catch (error) {
    $("waiting").hidden = false;
    $("waiting").textContent = error.message;
    wait = 1000;
  }
  setTimeout(refresh, wait);
}

let shown = "";
function fit(ratio) {
  const stage = $("stage"), w = Math.min(stage.clientWidth - 24, (stage.clientHeight - 24) * ratio);
  const box = { width: `${w}px`, height: `${w / ratio}px`, left: `${(stage.clientWidth - w) / 2}px`, top: `${(stage.clientHeight - w / ratio) / 2}px` };
  if (JSON.stringify(box) === shown) return;
  shown = JSON.stringify(box);
  for (const id of ["picture", "sheet"]) Object.assign($(id).style, box);
  draw();
}

async function start() {
  const state = await call("state");
  $("file").textContent = state.file;
  shapes = [
    ...state.lines.map((line) => ({ ...line, kind: "line", points: [line.start, line.end] })),
    ...(state.region ? [{ kind: "region", points: [state.region.slice(0, 2), state.region.slice(2)] }] : []),
    ...state.masks.map((points) => ({ kind: "mask", points })),
  ];
  saved = drawing();
  listShapes();
  choose(state.lines.length ? "none" : "line");
  refresh();
  checkLines();
  setInterval(() => { if (!drag && !document.hidden) checkLines(); }, 3000); // passing vehicles change the findings
}

history.replaceState(null, "", "/"); // keeps the token out of bookmarks and screenshots
for (const [name, handler] of [["pointerdown", onDown], ["pointermove", onMove], ["pointerup", onUp]]) $("sheet").addEventListener(name, handler);
$("sheet").addEventListener("pointercancel", () => { drag = null; draw(); });
for (const button of document.querySelectorAll("#tools button")) button.onclick = () => choose(tool === button.dataset.tool ? "none" : button.dataset.tool);
$("save").onclick = save;
document.addEventListener("keydown", (event) => { if (event.key === "Escape") choose("none"); });
start().catch((error) => showStatus(error.message, "bad"));
