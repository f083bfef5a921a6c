// The view on which lines, region, masks and a rectangle on the road are drawn over the live picture.

import { sum } from "./chart.js";
import { crossedText, findingText, makeCard, paragraph } from "./cards.js";
import { distance } from "./geometry.js";
import { Hand } from "./hand.js";
import { overruled, showLayers, showWarnings } from "./layers.js";
import { t } from "./messages.js";
import { followSave } from "./outcome.js";
import { ask, call } from "./requests.js";
import { Restart } from "./restart.js";
import { drawShapes } from "./sheet.js";
import { Shapes, SIDES } from "./shapes.js";
import { Zoom } from "./zoom.js";

const CHECK_MS = 200, CHECK_AGAIN_MS = 3000, PICTURE_MS = 250, NO_PICTURE_MS = 1000;
const $ = (id) => document.getElementById(id);

export class LinesView {
  constructor(status) {
    this.status = status;
    this.visible = this.started = false;
    this.requests = 0;
    this.chosen = null;
    this.cards = new Map();
    this.zoom = new Zoom($("stage"), [$("picture"), $("sheet")], () => { $("whole").hidden = !this.zoom.zoomed; this.draw(); });
    this.hand = new Hand($("sheet"), this);
    this.restart = new Restart($("lines-restart"), status);
    $("lines-restart").hidden = true;
    $("whole").onclick = () => this.zoom.reset();
    $("save").onclick = () => this.save();
    $("undo").onclick = () => this.step("undo");
    $("redo").onclick = () => this.step("redo");
    for (const button of document.querySelectorAll("#tools [data-tool]")) button.onclick = () => this.hand.choose(this.hand.tool === button.dataset.tool ? "none" : button.dataset.tool);
    document.addEventListener("keydown", (event) => { if (this.visible) this.onKey(event); });
  }

  async show() {
    this.visible = true;
    this.zoom.fit();
    if (this.started) return;
    this.started = true;
    try {
      this.state = await call("state");
    } catch (error) {
      this.started = false;
      this.tell(error.message, "bad");
      return;
    }
    this.tellLayers();
    this.shapes = new Shapes(this.state);
    const draft = this.shapes.restoreDraft();
    if (draft) this.tell(t(draft === "older" ? "save.draft_older" : "save.draft"), draft === "older" ? "bad" : "");
    else if (this.state.layers) this.followOlder();
    this.hand.choose("none");
    this.listShapes();
    this.changed();
    this.refresh();
    setInterval(() => { if (this.visible && !document.hidden && !this.hand.busy) this.check(); }, CHECK_AGAIN_MS); // passing vehicles change the findings
  }

  hide() { this.visible = false; }

  // --- the drawing, by hand, keys and cards

  get size() { return { w: $("sheet").clientWidth, h: $("sheet").clientHeight }; }

  draw() {
    if (!this.shapes) return;
    const { drawn, turning } = this.hand;
    drawShapes($("sheet"), [...this.shapes.all, ...(drawn ? [drawn] : [])], this.size, { chosen: this.chosen, turning, grid: this.grid?.lines || [], given: this.shapes.given });
    $("empty").hidden = this.shapes.all.length > 0 || Boolean(drawn) || !$("waiting").hidden;
  }

  // The metres on the road, as long as they are those of the rectangle that is drawn now; null without them.
  get grid() { return this.found?.grid && this.found.road === JSON.stringify(this.shapes.road) ? this.found.grid : null; }

  choose(shape) {
    this.chosen = shape;
    for (const [other, card] of this.cards) card.classList.toggle("chosen", other === shape);
    this.draw();
  }

  add(kind, points) {
    const shape = this.shapes.add(kind, points);
    this.hand.choose("none");
    this.listShapes();
    this.choose(shape);
    this.cards.get(shape).scrollIntoView({ block: "nearest" }); // its name is what comes next
    this.done();
  }

  remove(shape) {
    this.shapes.remove(shape);
    if (this.chosen === shape) this.chosen = null;
    this.listShapes();
    this.done();
  }

  step(name) {
    this.shapes[name]();
    this.chosen = null;
    this.listShapes();
    this.changed();
  }

  // A change is complete: it can be undone.
  done() {
    this.shapes.commit();
    this.changed();
  }

  onKey(event) {
    const typing = event.target.matches("input, select, textarea"), letter = event.key.toLowerCase();
    if (event.key === "Escape") this.hand.choose("none");
    else if (typing) return;
    else if ((event.ctrlKey || event.metaKey) && letter === "z") this.step(event.shiftKey ? "redo" : "undo");
    else if ((event.ctrlKey || event.metaKey) && letter === "y") this.step("redo");
    else if (this.chosen && (event.key === "Delete" || event.key === "Backspace")) this.remove(this.chosen);
    else if (this.chosen && event.key.startsWith("Arrow") && event.target === $("sheet")) this.hand.nudge(event.key, event.shiftKey ? 10 : 1);
    else return;
    event.preventDefault();
  }

  listShapes() {
    const act = {
      choose: (shape) => { if (this.chosen !== shape) this.choose(shape); },
      edit: () => { this.draw(); this.changed(); },
      rename: (shape, name) => { this.shapes.rename(shape, name); this.draw(); this.changed(); },
      done: () => this.done(),
      remove: (shape) => this.remove(shape),
      flip: (shape) => { this.shapes.flip(shape); this.draw(); this.done(); },
    };
    this.cards = new Map(this.shapes.all.map((shape) => [shape, makeCard(shape, act)]));
    $("shapes").replaceChildren(...this.cards.values());
    this.showFindings();
    this.choose(this.chosen);
    if (!this.shapes.ofKind("line").length && this.hand.tool === "none") this.hand.choose("line"); // what is drawn next
  }

  // --- what the server says

  changed() {
    $("undo").disabled = !this.shapes.canUndo;
    $("redo").disabled = !this.shapes.canRedo;
    if (this.shapes.changed) $("lines-restart").hidden = true;
    this.showRefusal();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), CHECK_MS);
  }

  async check() {
    const request = ++this.requests;
    try {
      const road = JSON.stringify(this.shapes.road), found = await call("check", this.shapes.checked());
      if (request !== this.requests) return; // a newer request is under way
      this.found = { ...found, road };
    } catch (error) {
      this.found = { findings: [{ level: "FAIL", what: error.message, sentence: error.message, line: "" }], crossed: {} };
    }
    this.showFindings();
    this.showRefusal();
    this.draw();
  }

  showFindings() {
    const { findings } = this.found || { findings: [] }, crossed = new Map(Object.entries(this.found?.crossed || {})), lines = this.shapes.ofKind("line");
    const owner = (finding) => lines.find((line, n) => finding.line && (line.id === finding.line || String(n + 1) === finding.line));
    for (const [shape, card] of this.cards) {
      // Without a name nothing else about a line is told: the card asks for one.
      const own = shape.id === "" ? [] : findings.filter((one) => owner(one) === shape || (shape.kind === "region" && one.what === "detector.region") || (shape.kind === "geometry" && isOfRoad(one)));
      card.querySelector(".findings").replaceChildren(...own.map(paragraph));
      if (shape.kind === "line") card.querySelector(".crossed").textContent = crossedText(shape, crossed.get(shape.id), this.today(shape.id));
      if (shape.kind === "geometry") card.querySelector(".crossed").textContent = this.grid ? t("shape.grid", { n: this.grid.step_m }) : "";
    }
    const onRoad = this.shapes.ofKind("geometry").length > 0, isOfRoadCard = (one) => onRoad && isOfRoad(one);
    $("general").replaceChildren(...findings.filter((one) => !owner(one) && !isOfRoadCard(one) && !["detector.region", "lines"].includes(one.what)).map(paragraph));
  }

  today(id) {
    const line = this.status.lines.find((one) => one.id === id);
    return line && { counts: [sum(line.today, 0), sum(line.today, 1)] };
  }

  // The reason why the drawing cannot be saved stands beside the button, wherever the page is scrolled to.
  showRefusal() {
    const names = this.shapes.ofKind("line").map((line) => line.id), twice = names.find((name, n) => name && names.indexOf(name) !== n);
    const sides = this.shapes.sidesProblem, failed = (this.found?.findings || []).filter((one) => one.level === "FAIL").map(findingText);
    const reasons = !names.length ? [t("shape.no_line")] : names.includes("") ? [t("shape.no_name")] : twice ? [t("shape.same_name", { name: twice })] : sides ? [t(sides, SIDES)] : failed;
    const { changed } = this.shapes, refused = reasons.length > 0 && (changed || this.shapes.all.length > 0);
    $("refusal").textContent = refused && changed ? `${t("save.refused")} ${reasons[0]}` : "";
    $("save").disabled = !changed || reasons.length > 0 || Boolean(this.saving);
    if (changed && !$("saved").textContent) this.tell(t("save.unsaved"), "");
  }

  tellLayers() {
    document.querySelector("#tools [data-tool=geometry]").disabled = Boolean(this.state.geometry?.points?.length); // only a person changes those
    showWarnings($("warnings"), this.state);
    showLayers($("layers"), this.state);
  }

  tell(text, kind) {
    $("saved").textContent = text;
    $("saved").className = kind;
  }

  async save() {
    const sent = this.shapes.json();
    this.tell(t("save.saving"), "busy");
    this.saving = $("save").disabled = true;
    try {
      const { saved, following, version } = await call("save", JSON.stringify({ ...JSON.parse(sent), base: this.shapes.base }));
      if (following) return await this.keepSaved(sent, version);
      this.state = await call("state");
      this.shapes.setSaved(sent, this.state.base);
      this.tell(`${t("save.done", { file: saved })} ${this.status.answer?.status ? t("save.restart") : ""}`, "good");
      $("lines-restart").hidden = false;
      this.listShapes();
    } catch (error) {
      const now = await call("state").catch(() => this.state);
      this.tell(now.base === this.shapes.base ? error.message : t("save.older"), "bad");
    } finally {
      this.saving = false;
    }
    this.changed();
  }

  // After a reload in the middle of a save: tell how it goes on.
  async followOlder() {
    const { step } = await call("outcome").catch(() => ({}));
    if (step === "restarting") await this.keepSaved(this.shapes.json());
  }

  // Where the device itself restarts the service: what does not start is not kept.
  async keepSaved(sent, base) {
    this.shapes.setSaved(sent, base);
    const kept = await followSave((text, kind) => this.tell(text, kind));
    this.state = await call("state");
    const used = new Shapes(this.state), why = kept && overruled(this.state);
    if (why) {
      this.shapes = used;
      this.chosen = null;
      this.tell(why, "bad");
    }
    this.shapes.setSaved(kept && !why ? sent : used.json(), this.state.base);
    this.tellLayers();
    this.listShapes();
    return this.changed();
  }

  async refresh() {
    for (;;) {
      let wait = PICTURE_MS;
      if (this.visible && !document.hidden) wait = await this.loadPicture() ? PICTURE_MS : NO_PICTURE_MS;
      await new Promise((done) => { setTimeout(done, wait); });
    }
  }

  async loadPicture() {
    const next = new Image();
    try {
      next.src = URL.createObjectURL(await (await ask("picture.jpg")).blob());
      await next.decode();
    } catch (error) {
      $("picture").classList.add("old");
      $("waiting").hidden = false;
      $("waiting").textContent = error.message;
      this.draw();
      return false;
    }
    const old = $("picture").src, first = !$("waiting").hidden;
    $("picture").src = next.src;
    if (old) URL.revokeObjectURL(old);
    $("picture").classList.remove("old");
    $("waiting").hidden = true;
    this.zoom.ratio = next.naturalWidth / next.naturalHeight;
    this.zoom.fit();
    if (first) this.draw();
    return true;
  }

  isNear(a, b, reach) { return distance(a, b, this.size) <= reach; }
}

// Whether a finding is about the rectangle on the road.
function isOfRoad({ what }) { return what.split(".")[0] === "geometry"; }
