// The state of the device, and its counts of the last hour, of today and of seven days.

import { CLASSES, binText, byClass, drawChart, sum } from "./chart.js";
import { facts, because, isDoubtful } from "./facts.js";
import { LivePicture } from "./live.js";
import { clock, number, t, weekday } from "./messages.js";
import { element } from "./elements.js";
import { call } from "./requests.js";
import { Restart } from "./restart.js";

const STATUS_MS = 2000, HISTORY_MS = 10_000;
const $ = (id) => document.getElementById(id);

export class StatusView {
  constructor() {
    this.live = new LivePicture($("live-picture"), (problem) => {
      $("live-waiting").hidden = !problem;
      $("live-waiting").textContent = problem;
      $("live-picture").classList.toggle("old", Boolean(problem));
    });
    this.restart = new Restart($("service-restart"), this);
    this.visible = false;
    this.lines = [];
    $("line").onchange = () => this.drawCharts();
    window.addEventListener("resize", () => { if (this.visible) this.drawCharts(); });
    this.poll("status", STATUS_MS, (answer) => this.showStatus(answer));
    this.poll("history", HISTORY_MS, (answer) => this.showHistory(answer));
  }

  show() {
    this.visible = true;
    this.live.start();
    this.drawCharts();
  }

  hide() {
    this.visible = false;
    this.live.stop();
  }

  // Ask again and again, while somebody looks at the page. The newest answer is kept for the other view.
  async poll(path, every, take) {
    for (;;) {
      if (!document.hidden) {
        try {
          take(await call(path));
          $("lost").hidden = true;
        } catch (error) {
          this.showLost(error.message);
        }
      }
      await new Promise((done) => { setTimeout(done, every); });
    }
  }

  // What was true before the connection was lost must not look as if it were true now.
  showLost(why) {
    $("lost").textContent = t("page.lost", { why });
    $("lost").hidden = false;
    $("banner").className = "unknown";
    $("state").textContent = t("state.unknown");
    for (const id of ["why", "detail", "look"]) $(id).textContent = "";
  }

  showStatus(answer) {
    this.answer = answer;
    this.zone = answer.zone;
    const { status } = answer;
    const state = status ? (status.counting ? "counting" : "not_counting") : answer.problem ? "unknown" : "not_running";
    $("device").textContent = `${answer.site} / ${answer.device}`;
    $("state").textContent = t(`state.${state}`);
    [$("why").textContent, $("detail").textContent] = because(answer, state);
    const all = facts(answer);
    $("banner").className = state;
    $("banner").dataset.trouble = String(all.some(([, , level]) => level === "bad") || Boolean(status && isDoubtful(status)));
    const look = all.filter(([name, , level]) => name !== "problem" && level !== "ok").map(([name]) => t(`fact.${name}`));
    $("look").textContent = look.length ? t("state.look", { facts: look.join(", ") }) : "";
    $("facts").replaceChildren(...all.flatMap(([name, value, level]) => [
      element("dt", { className: level, textContent: t(`fact.${name}`) }),
      element("dd", { className: level }, element("span", { className: "mark", ariaLabel: t(level === "ok" ? "fact.ok" : "fact.look"), role: "img" }), value),
    ]));
  }

  showHistory({ lines }) {
    this.lines = lines;
    const chosen = $("line").value;
    $("line").replaceChildren(...lines.map(({ id, name }) => element("option", { value: id, textContent: name })));
    if (lines.some(({ id }) => id === chosen)) $("line").value = chosen;
    $("line-choice").hidden = lines.length < 2;
    $("charts").hidden = !lines.length;
    $("no-counts").hidden = lines.length > 0;
    // A line that was removed keeps its chart; what passed it may have passed another one too.
    const all = lines.filter(({ configured }) => configured).reduce((vehicles, line) => vehicles + sum(line.today, 0) + sum(line.today, 1), 0);
    $("vehicles").textContent = lines.length ? t("state.today", { n: number(all) }) : "";
    if (!$("csv-date").value) $("csv-date").value = new Intl.DateTimeFormat("sv", { timeZone: this.zone || "UTC" }).format(new Date());
    if (this.visible) this.drawCharts();
  }

  get line() { return this.lines.find(({ id }) => id === $("line").value); }

  drawCharts() {
    const { line } = this;
    if (!line) return;
    const names = ["left_to_right", "right_to_left"].map((way) => line.directions[way] || t(`direction.${way}`));
    const time = (at) => clock(at, this.zone), day = (at) => weekday(at, this.zone);
    const date = (at) => clock(at, this.zone, { weekday: "short", day: "numeric", month: "numeric" });
    const every = (n, count) => n % Math.ceil(count / 6) === 0;
    const charts = {
      hour: { label: (bin, n) => (every(n, line.hour.length) ? time(bin.start) : ""), span: (bin) => `${time(bin.start)}–${time(bin.end)}` },
      today: { label: (bin, n) => (n % 4 === 0 ? time(bin.start) : ""), span: (bin) => `${time(bin.start)}–${time(bin.end)}` },
      week: { label: (bin) => day(bin.start), span: (bin) => date(bin.start) },
    };
    for (const [name, { label, span }] of Object.entries(charts)) {
      const bins = line[name], sums = [sum(bins, 0), sum(bins, 1)];
      const describe = t("chart.describe", { title: t(`chart.${name}`), first: names[0], a: number(sums[0]), second: names[1], b: number(sums[1]) });
      drawChart($(`chart-${name}`), bins, {
        names: names.map((text, n) => `${text} ${number(sums[n])}`), label, describe,
        chosen: (bin) => { $(`point-${name}`).textContent = binText(bin, names, span(bin)); },
      });
      if (!$(`point-${name}`).textContent) $(`point-${name}`).textContent = t("chart.point");
    }
    this.drawTable(line, names);
  }

  drawTable(line, names) {
    const counts = byClass(line.today), labels = CLASSES.filter((label) => label in counts);
    const row = (kind, ...cells) => element("tr", {}, ...cells.map((text, n) => element(n ? kind : "th", { textContent: text, ...(n ? {} : { scope: "row" }) })));
    const head = element("tr", {}, ...[t("table.class"), ...names].map((textContent) => element("th", { textContent, scope: "col" })));
    const all = [0, 1].map((n) => number(sum(line.today, n)));
    $("today").replaceChildren(element("thead", {}, head), element("tbody", {},
      ...labels.map((label) => row("td", t(`class.${label}`), ...counts[label].map((n) => number(n)))), row("td", t("table.all"), ...all)));
    const unknown = [...line.hour, ...line.today, ...line.week].some((bin) => bin.unknown);
    $("legend").replaceChildren(...labels.map((label) => element("li", { className: label, textContent: t(`class.${label}`) })),
      ...(unknown ? [element("li", { className: "unknown", textContent: t("chart.unknown") })] : []));
  }
}
