// Draw a device's counting lines on a picture that it has sent: the office's order sets them, the device tries and reports.
// The drawing itself is that of the devices' own page.
import { makeCard } from "/page/drawing/cards.js";
import { distance } from "/page/drawing/geometry.js";
import { Hand } from "/page/drawing/hand.js";
import { Shapes } from "/page/drawing/shapes.js";
import { drawShapes } from "/page/drawing/sheet.js";
import { Zoom } from "/page/drawing/zoom.js";
import { svg } from "/page/drawing/elements.js";
import { edited } from "/page/edits.js";
import { may } from "/page/login.js";
import { drawPicture, followOrders, isOpen, newestPicture, officeNote, orderText, place, stateOf } from "/page/orders.js";
import { ask } from "/page/requests.js";
import { withStyle } from "/page/styles.js";
import { element, moment, text } from "/page/texts.js";

const WIDTH = 1280;
const EXACT = 1e-4;

export async function showLines(view, site, device) {
  const name = `${site}/${device}`;
  document.title = text("fleet.lines_of", { name });
  if (!may("admin")) return void view.append(element("p", { class: "muted" }, text("fleet.for_administrators")));
  await withStyle("/page/fleet.css");
  const whole = await ask(`/api/v1/devices/${name}`);
  const page = new Drawing(name, whole.lines);
  view.append(element("p", {}, element("a", { href: `/device/${name}`, "data-view": true }, name)), element("h1", {}, document.title), page.body);
  page.begin();
  return () => page.end();
}

class Drawing {
  constructor(name, lines) {
    this.name = name;
    this.chosen = null;
    this.cards = new Map();
    this.answers = new Map(); // id of a moved line -> whether its counts can be compared with those of before
    this.shown = this.order = null;
    this.take(lines);
    this.canvas = element("canvas", { id: "picture", role: "img", "aria-label": text("fleet.picture") });
    this.former = svg("svg", { id: "former", "aria-hidden": "true" });
    this.sheet = svg("svg", { id: "sheet", tabindex: "0", role: "application", "aria-label": text("tool.sheet") });
    this.waiting = element("p", { id: "waiting" }, text("fleet.no_picture"));
    this.whole = element("button", { type: "button", id: "whole", hidden: true, onclick: () => this.zoom.reset() }, text("tool.zoom"));
    this.stage = element("section", { id: "stage", "aria-label": text("tool.title") }, this.canvas, this.former, this.sheet, this.waiting, this.whole);
    const icon = (sign, key, act) => element("button", { type: "button", class: "icon", "aria-label": text(key), title: text(key), onclick: act }, sign);
    this.undo = icon("↶", "tool.undo", () => this.step("undo"));
    this.redo = icon("↷", "tool.redo", () => this.step("redo"));
    this.tool = element("button", { type: "button", "data-tool": "line", "aria-pressed": "false", onclick: () => this.hand.choose(this.hand.tool === "line" ? "none" : "line") }, text("tool.line"));
    this.fetch = element("button", { type: "button", onclick: () => this.askPicture() }, text("fleet.new_picture"));
    this.note = element("div");
    this.taken = element("p", { class: "muted" });
    this.told = element("p", { role: "status" });
    this.shapesPart = element("div", { id: "shapes" });
    this.refusal = element("p", { class: "refused", role: "alert" });
    this.save = element("button", { type: "button", class: "first", onclick: () => this.send() }, text("fleet.send_lines"));
    this.outcome = element("p", { role: "status" });
    const aside = element("div", { class: "drawing-side" }, element("div", { id: "tools", role: "toolbar", "aria-label": text("tool.title") }, this.tool, this.undo, this.redo, this.fetch),
      element("p", { id: "hint", class: "muted" }), this.shapesPart, this.refusal, this.save, this.outcome, element("p", { class: "muted" }, text("fleet.trial")));
    this.body = element("div", {}, this.note, this.told, element("div", { class: "drawing" }, element("div", {}, this.stage, this.taken, legend()), aside));
    this.onKey = this.onKey.bind(this);
  }

  // The device's lines as they count now: what is drawn begins with them.
  take(lines) {
    this.before = new Map(lines.map((line) => [line.id, line]));
    this.shapes = new Shapes({ lines, region: null, masks: [], base: "" }, `lines of ${this.name}`);
    this.answers.clear();
  }

  begin() {
    this.zoom = new Zoom(this.stage, [this.canvas, this.former, this.sheet], () => { this.whole.hidden = !this.zoom.zoomed; this.draw(); });
    this.hand = new Hand(this.sheet, this);
    this.hand.choose("none");
    document.addEventListener("keydown", this.onKey);
    this.watched = new ResizeObserver(() => this.zoom.fit());
    this.watched.observe(this.stage);
    if (this.shapes.restoreDraft()) this.told.textContent = text("save.draft");
    this.list();
    this.changed();
    this.orders = followOrders(this.name, (orders, office) => this.look(orders, office));
  }

  end() {
    this.orders.end();
    this.watched.disconnect();
    document.removeEventListener("keydown", this.onKey);
    edited(false);
  }

  // --- what `Hand` asks of a view

  get size() { return { w: this.sheet.clientWidth, h: this.sheet.clientHeight }; }
  isNear(a, b, reach) { return distance(a, b, this.size) <= reach; }

  draw() {
    const { drawn, turning } = this.hand;
    this.drawFormer();
    drawShapes(this.sheet, [...this.shapes.all, ...(drawn ? [drawn] : [])], this.size, { chosen: this.chosen, turning, grid: [], given: [] });
  }

  // Lines as they count now stay in sight below those that were moved or removed.
  drawFormer() {
    const { w, h } = this.size;
    const gone = [...this.before.values()].filter((line) => !this.shapes.all.some((shape) => shape.id === line.id && sameEnds(shape.points, line)));
    this.former.replaceChildren(...gone.map((line) => {
      const ends = { x1: line.start[0] * w, y1: line.start[1] * h, x2: line.end[0] * w, y2: line.end[1] * h };
      const part = svg("g");
      part.append(svg("line", { ...ends, stroke: "#0b0f13", "stroke-width": 5 }), svg("line", { ...ends, stroke: "#fff", "stroke-width": 2.5, "stroke-dasharray": "7 6" }));
      return part;
    }));
  }

  choose(shape) {
    this.chosen = shape;
    for (const [other, card] of this.cards) card.classList.toggle("chosen", other === shape);
    this.draw();
  }

  add(kind, points) {
    const shape = this.shapes.add(kind, points);
    this.hand.choose("none");
    this.list();
    this.choose(shape);
    this.cards.get(shape)?.scrollIntoView({ block: "nearest" });
    this.done();
  }

  done() {
    this.shapes.commit();
    this.changed();
  }

  changed() {
    this.undo.disabled = !this.shapes.canUndo;
    this.redo.disabled = !this.shapes.canRedo;
    for (const [shape, card] of this.cards) this.question(shape, card);
    this.tellRefusal();
    edited(this.shapes.changed);
  }

  // --- the cards beside the picture

  list() {
    const act = {
      choose: (shape) => { if (this.chosen !== shape) this.choose(shape); },
      edit: () => { this.draw(); this.changed(); },
      rename: (shape, name) => { this.shapes.rename(shape, name); this.draw(); this.changed(); },
      done: () => this.done(),
      remove: (shape) => this.remove(shape),
      flip: (shape) => { this.shapes.flip(shape); this.draw(); this.done(); },
    };
    this.cards = new Map(this.shapes.all.map((shape) => [shape, makeCard(shape, act)]));
    this.shapesPart.replaceChildren(...this.cards.values());
    this.choose(this.chosen);
  }

  remove(shape) {
    this.shapes.remove(shape);
    if (this.chosen === shape) this.chosen = null;
    this.list();
    this.done();
  }

  step(name) {
    this.shapes[name]();
    this.chosen = null;
    this.list();
    this.changed();
  }

  onKey(event) {
    const letter = event.key.toLowerCase();
    if (event.key === "Escape") this.hand.choose("none");
    else if (event.target.matches("input, select, textarea")) return;
    else if ((event.ctrlKey || event.metaKey) && letter === "z") this.step(event.shiftKey ? "redo" : "undo");
    else if ((event.ctrlKey || event.metaKey) && letter === "y") this.step("redo");
    else if (this.chosen && ["Delete", "Backspace"].includes(event.key) && event.target === this.sheet) this.remove(this.chosen);
    else if (this.chosen && event.key.startsWith("Arrow") && event.target === this.sheet) this.hand.nudge(event.key, event.shiftKey ? 10 : 1);
    else return;
    event.preventDefault();
  }

  // A moved line asks whether its series goes on; one that was turned round counts other ways, so it breaks for certain.
  question(shape, card) {
    const line = this.before.get(shape.id);
    const moved = line && !sameEnds(shape.points, line);
    let part = card.querySelector(".series");
    if (!moved) {
      part?.remove();
      this.answers.delete(shape.id);
      return;
    }
    const turned = isTurned(shape.points, line);
    if (part && part.turned === turned) return;
    part?.remove();
    part = turned ? element("p", { class: "series note" }, text("fleet.turned")) : element("fieldset", { class: "series" }, element("legend", {}, text("fleet.series")),
      [true, false].map((goesOn) => element("label", { class: "check" }, element("input", { type: "radio", name: `series-${shape.id}`, checked: this.answers.get(shape.id) === goesOn,
        onchange: () => { this.answers.set(shape.id, goesOn); this.tellRefusal(); } }), text(goesOn ? "fleet.series_goes_on" : "fleet.series_breaks"))));
    part.turned = turned;
    if (turned) this.answers.set(shape.id, false);
    card.append(part);
  }

  // Why the lines cannot be sent stands beside the button.
  tellRefusal() {
    const lines = this.shapes.ofKind("line");
    const names = lines.map((line) => line.id);
    const twice = names.find((name, n) => name && names.indexOf(name) !== n);
    const open = lines.find((line) => this.cards.get(line)?.querySelector("fieldset.series") && !this.answers.has(line.id));
    const gone = [...this.before.keys()].filter((id) => !names.includes(id));
    const why = !names.length ? text("shape.no_line") : names.includes("") ? text("shape.no_name") : twice ? text("shape.same_name", { name: twice })
      : open ? text("fleet.series_open", { name: open.name || open.id }) : "";
    this.refusal.textContent = this.shapes.changed ? why : "";
    this.save.disabled = !this.shapes.changed || Boolean(why) || Boolean(this.order);
    if (this.shapes.changed && !this.order) this.outcome.textContent = gone.length ? text("fleet.lines_gone", { names: gone.join(", ") }) : "";
  }

  // --- orders

  async askPicture() {
    await place({ kind: "snapshot", device: this.name, width: WIDTH, lines: false }, this.told);
    await this.orders.look();
  }

  async send() {
    const lines = JSON.parse(this.shapes.json()).lines.map((line) => {
      const { queue } = this.before.get(line.id) ?? {};
      return Object.fromEntries(Object.entries({ ...line, queue }).filter(([, value]) => value !== null && value !== undefined));
    });
    const comparable = [...this.answers].filter(([, goesOn]) => goesOn).map(([id]) => id);
    this.save.disabled = true;
    this.order = await place({ kind: "config", device: this.name, values: { lines }, comparable }, this.outcome);
    this.tellRefusal();
    if (this.order) await this.orders.look();
  }

  async look(orders, office) {
    this.note.replaceChildren(...[officeNote(office)].filter(Boolean));
    const asked = orders.find((order) => order.kind === "snapshot");
    this.fetch.disabled = Boolean(asked && isOpen(asked));
    const picture = newestPicture(orders.filter((order) => !order.args.lines));
    if (asked && asked.id !== picture?.id && asked.state !== "answered") this.told.replaceChildren(orderText(asked), " ", stateOf(asked), ` ${asked.answer}`);
    else if (asked && this.fetch.disabled === false && picture && this.shown !== picture.id) this.told.replaceChildren();
    if (picture && picture.id !== this.shown) await this.show(picture);
    const sent = orders.find((order) => order.id === this.order);
    if (sent) await this.tell(sent);
  }

  async show(order) {
    const picture = await drawPicture(this.canvas, order);
    if (!picture) return;
    this.shown = order.id;
    this.waiting.hidden = true;
    this.taken.textContent = text("fleet.taken", { at: moment(order.changed) });
    this.zoom.ratio = picture.width / picture.height;
    this.zoom.fit();
    this.draw();
  }

  async tell(order) {
    this.outcome.className = order.state === "refused" ? "refused" : "";
    this.outcome.replaceChildren(stateOf(order), ` ${order.answer}`);
    if (isOpen(order)) return;
    this.order = null;
    if (order.state === "answered") {
      this.shapes.setSaved(this.shapes.json());
      this.before = new Map(order.args.values.lines.map((line) => [line.id, line]));
      this.answers.clear();
      this.list();
    }
    this.changed();
  }
}

const legend = () => element("p", { class: "legend" }, element("span", {}, element("span", { class: "sample now" }), text("fleet.new_lines")), element("span", {}, element("span", { class: "sample former" }), text("fleet.former_lines")));

const near = (one, other) => one.every((value, n) => Math.abs(value - other[n]) < EXACT);
const sameEnds = ([start, end], line) => near(start, line.start) && near(end, line.end);

// Whether the line is seen from its other side now: it points the other way than before.
function isTurned([start, end], line) {
  const along = (n) => (end[n] - start[n]) * (line.end[n] - line.start[n]);
  return along(0) + along(1) < 0;
}
