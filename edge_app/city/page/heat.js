// Hours of weeks as a heat map: a row a day, a column an hour of the site's own time. What was not seen is hatched, never white.
import { element, moment, number, text } from "/page/texts.js";
import { changeText } from "/page/changes.js";

const CELL = 26;
const LEFT = 92;
const HIGH = 12;

export function heatMap(steps, timeZone, weeks, now, changes) {
  const date = (at) => new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" }).format(new Date(at));
  const hourOf = (at) => Number(new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", hourCycle: "h23" }).format(new Date(at)));
  const days = [];
  for (let back = weeks * 7 - 1; back >= 0; back--) {
    const name = date((now - back * 86400) * 1000);
    if (days.at(-1) !== name) days.push(name);
  }
  const cells = new Map();
  for (const step of steps) cells.set(`${date(step.start)} ${hourOf(step.start)}`, step);
  const value = (step) => Object.values(step.counts).reduce((sum, ways) => sum + ways.left_to_right + ways.right_to_left, 0) / Math.max(step.covered, 0.01);
  const seen = [...cells.values()].filter((step) => step.covered >= 0.5).map(value);
  const most = Math.max(1, ...seen);
  const svg = element("svg", { class: "heat", viewBox: `0 0 ${LEFT + 24 * CELL} ${20 + days.length * HIGH}`, role: "img", "aria-label": text("city.weeks_told", { n: number(most) }) },
    element("defs", {}, element("pattern", { id: "hole", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      element("rect", { width: 5, height: 5, fill: "var(--card)" }), element("rect", { width: 1.5, height: 5, fill: "var(--border)" }))));
  for (let hour = 0; hour < 24; hour += 3) svg.append(element("text", { x: LEFT + hour * CELL, y: 12 }, `${hour}`));
  const hourNow = hourOf(now * 1000);
  const marked = new Map();
  for (const change of changes) marked.set(`${date(change.at)} ${hourOf(change.at)}`, [...(marked.get(`${date(change.at)} ${hourOf(change.at)}`) ?? []), change]);
  days.forEach((day, row) => {
    const at = Date.parse(`${day}T12:00:00Z`);
    if (new Date(at).getUTCDay() === 1) svg.append(element("text", { x: 0, y: 20 + row * HIGH + 10 }, moment(at, "UTC", { day: "numeric", month: "short", weekday: "short" })));
    for (let hour = 0; hour < 24; hour++) {
      if (row === days.length - 1 && hour > hourNow) continue; // still to come
      const step = cells.get(`${day} ${hour}`);
      const place = { x: LEFT + hour * CELL, y: 20 + row * HIGH, width: CELL - 1, height: HIGH - 1, rx: 2 };
      if (!step || step.covered < 0.5) svg.append(element("rect", { ...place, class: "hole" }, element("title", {}, text("city.cell_unseen", { day, hour }))));
      else svg.append(element("rect", { ...place, style: `fill: rgba(var(--heat), ${(0.06 + 0.94 * value(step) / most).toFixed(3)})` },
        element("title", {}, text("city.cell", { day, hour, n: number(value(step)), seen: number(100 * step.covered) }))));
      const here = marked.get(`${day} ${hour}`);
      if (here) svg.append(element("rect", { x: place.x - 1, y: place.y - 1, width: 3, height: HIGH + 1, class: here.some((change) => change.breaks) ? "change break" : "change" }, element("title", {}, here.map(changeText).join("\n"))));
    }
  });
  return element("div", {}, element("div", { class: "scroll", tabindex: "0" }, svg), element("p", { class: "legend" }, text("city.heat_legend", { n: number(most) })));
}
