// Hours as a heat map: weeks with a row a day, a year with a column a day, hours of the site's own time. What was not seen
// by half is hatched, never white; in colour where something was counted.
import { ask, rfc } from "/page/requests.js";
import { element, moment, number, text } from "/page/texts.js";
import { changeText } from "/page/changes.js";
import { colour } from "/page/theme.js";

// Of the picture of weeks, px: on a phone all hours have room.
const WIDE = { cell: 26, left: 92, date: { day: "numeric", month: "short", weekday: "short" } };
const NARROW = { cell: 11, left: 52, date: { day: "numeric", month: "short" } };
const NARROW_PX = 640;
const HIGH = 12;
const SEEN = 0.5;
const DAY = 86400;
const YEAR_DAYS = 365;
const YEAR_LEFT = 30; // of the picture of a year, px
const YEAR_TOP = 18;
const YEAR_HIGH = 11; // of an hour

// Date and hour of a time, s since 1970, as the clock of a zone tells them.
function clock(timeZone) {
  const format = new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", hourCycle: "h23" });
  const told = new Map(); // most zones differ from UTC by the same for months: what was asked for a day is known
  return (at) => {
    const hour = Math.floor(at / 900);
    if (!told.has(hour)) {
      const parts = Object.fromEntries(format.formatToParts(new Date(at * 1000)).map((part) => [part.type, part.value]));
      told.set(hour, { day: `${parts.year}-${parts.month}-${parts.day}`, hour: Number(parts.hour) });
    }
    return told.get(hour);
  };
}

// Hours by day and hour, as clocks show them. hours: an answer of /hours. rate: vehicles an hour, null where less than half
// was seen. many: that were counted. An hour that is there twice, where clocks are set back, is one of both together.
function cellsOf(hours, wall) {
  const start = Date.parse(hours.start) / 1000;
  const sums = new Map();
  hours.seconds.forEach((second, at) => {
    const { day, hour } = wall(start + second);
    const { parts, many, seconds } = sums.get(`${day} ${hour}`) ?? { parts: [], many: 0, seconds: 0 };
    sums.set(`${day} ${hour}`, { parts: [...parts, hours.covered[at]], many: many + hours.vehicles[at], seconds: seconds + hours.seen_s[at] });
  });
  return new Map([...sums].map(([key, { parts, many, seconds }]) => {
    const seen = parts.reduce((sum, one) => sum + one, 0) / parts.length;
    return [key, { seen, many, rate: seen >= SEEN && seconds ? (many * 3600) / seconds : null }];
  }));
}

// Hours that are not there, since clocks are set forward, as keys of cells. noons: of days in a row, s since 1970.
function skippedOf(noons, wall) {
  const skipped = [];
  for (const noon of noons) {
    const [before, after] = [wall(noon - DAY), wall(noon)];
    if (after.hour <= before.hour) continue; // about twelve, as on the day before
    const there = new Set(Array.from({ length: DAY / 900 }, (_, n) => wall(noon - n * 900)).map(({ day, hour }) => `${day} ${hour}`));
    for (let hour = 0; hour < 24; hour++) {
      const { day } = hour < after.hour ? after : before;
      if (hour !== before.hour && !there.has(`${day} ${hour}`)) skipped.push(`${day} ${hour}`);
    }
  }
  return new Set(skipped);
}

// About noon of the last days, s since 1970: it stays on its day where clocks are changed.
function noonsUntil(now, many, wall) {
  const noon = now + (12 - wall(now).hour) * 3600;
  return Array.from({ length: many }, (_, at) => noon - (many - 1 - at) * DAY);
}

function marksOf(changes, wall) {
  const marked = new Map();
  for (const change of changes) {
    const { day, hour } = wall(Date.parse(change.at) / 1000);
    marked.set(`${day} ${hour}`, [...(marked.get(`${day} ${hour}`) ?? []), change]);
  }
  return marked;
}

const most = (cells) => Math.max(0, ...[...cells.values()].map((cell) => cell.rate ?? 0));

export function heatMap(hours, timeZone, weeks, now, changes) {
  const wall = clock(timeZone);
  const noons = noonsUntil(now, weeks * 7, wall);
  const days = noons.map((noon) => wall(noon).day);
  const skipped = skippedOf(noons, wall);
  const cells = cellsOf(hours, wall);
  const high = most(cells);
  const { cell: wide, left, date } = innerWidth < NARROW_PX ? NARROW : WIDE;
  const hatch = (id, ink) => element("pattern", { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    element("rect", { width: 5, height: 5, fill: "var(--card)" }), element("rect", { width: 1.5, height: 5, fill: ink }));
  const svg = element("svg", { class: "heat", viewBox: `0 0 ${left + 24 * wide} ${20 + days.length * HIGH}`, role: "img", "aria-label": text("city.weeks_told", { n: number(high) }) },
    element("defs", {}, hatch("hole", "var(--border)"), hatch("part", "rgb(var(--heat))")));
  for (let hour = 0; hour < 24; hour += 3) svg.append(element("text", { x: left + hour * wide, y: 12 }, `${hour}`));
  const hourNow = wall(now).hour;
  const marked = marksOf(changes, wall);
  days.forEach((day, row) => {
    const at = Date.parse(`${day}T12:00:00Z`);
    if (new Date(at).getUTCDay() === 1) svg.append(element("text", { x: 0, y: 20 + row * HIGH + 10 }, moment(at, "UTC", date)));
    for (let hour = 0; hour < 24; hour++) {
      if ((row === days.length - 1 && hour > hourNow) || skipped.has(`${day} ${hour}`)) continue; // still to come, or not there
      const cell = cells.get(`${day} ${hour}`);
      const place = { x: left + hour * wide, y: 20 + row * HIGH, width: wide - 1, height: HIGH - 1, rx: 2 };
      const told = element("title", {}, tell(day, hour, cell));
      if (shown(cell)) svg.append(element("rect", { ...place, style: `fill: rgba(var(--heat), ${strength(cell, high).toFixed(3)})` }, told));
      else svg.append(element("rect", { ...place, class: cell?.many ? "part" : "hole" }, told));
      const here = marked.get(`${day} ${hour}`);
      if (here) svg.append(element("rect", { x: place.x - 1, y: place.y - 1, width: 3, height: HIGH + 1, class: here.some((change) => change.breaks) ? "change break" : "change" }, element("title", {}, here.map(changeText).join("\n"))));
    }
  });
  return legend(svg, high);
}

const shown = (cell) => cell && cell.rate !== null;
const strength = (cell, high) => 0.06 + (0.94 * cell.rate) / Math.max(1, high);

function tell(day, hour, cell) {
  if (shown(cell)) return text("city.cell", { day, hour, n: number(cell.rate), seen: number(100 * cell.seen) });
  return cell?.many ? text("city.cell_part", { day, hour, n: number(cell.many), seen: number(100 * cell.seen) }) : text("city.cell_unseen", { day, hour });
}

function legend(picture, high) {
  return element("div", {}, element("div", { class: "scroll", tabindex: "0" }, picture), element("p", { class: "legend" }, text(high ? "city.heat_legend" : "city.heat_nothing", { n: number(high) })));
}

// The heat map of a year of a site, in one request. A canvas: nine thousand cells are too many elements for a phone.
export async function yearMap(site, now) {
  const from = now - YEAR_DAYS * DAY;
  const [hours, { changes }] = await Promise.all(["hours", "changes"].map((kind) =>
    ask(`/api/v1/sites/${encodeURIComponent(site.id)}/${kind}?from=${rfc(from)}&to=${rfc(now)}`)));
  const wall = clock(site.time_zone);
  const noons = noonsUntil(now, YEAR_DAYS, wall);
  const days = noons.map((noon) => wall(noon).day);
  const skipped = skippedOf(noons, wall);
  const cells = cellsOf(hours, wall);
  const high = most(cells);
  const canvas = element("canvas", { class: "year", role: "img", "aria-label": text("city.year_told", { n: number(high) }) });
  paint(canvas, { days, skipped, cells, high, marked: marksOf(changes, wall) });
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const at = { x: (event.clientX - box.left) * (canvas.logical.width / box.width), y: (event.clientY - box.top) * (canvas.logical.height / box.height) };
    const day = days[Math.floor((at.x - YEAR_LEFT) / canvas.logical.cell)];
    const hour = Math.floor((at.y - YEAR_TOP) / YEAR_HIGH);
    canvas.title = day && hour >= 0 && hour < 24 && !skipped.has(`${day} ${hour}`) ? tell(day, hour, cells.get(`${day} ${hour}`)) : "";
  });
  performance.mark("year"); // tests.trials.city_page reads when it was there
  return legend(canvas, high);
}

function paint(canvas, { days, skipped, cells, high, marked }) {
  const cell = 3;
  const size = { width: YEAR_LEFT + days.length * cell, height: YEAR_TOP + 24 * YEAR_HIGH, cell };
  const sharp = Math.max(1, Math.ceil(devicePixelRatio));
  Object.assign(canvas, { width: size.width * sharp, height: size.height * sharp, logical: size });
  const pen = canvas.getContext("2d");
  pen.scale(sharp, sharp);
  const heat = colour("--heat");
  const hole = hatched(pen, sharp, colour("--border"));
  const part = hatched(pen, sharp, `rgb(${heat})`);
  days.forEach((day, column) => {
    for (let hour = 0; hour < 24; hour++) {
      if (skipped.has(`${day} ${hour}`)) continue;
      const one = cells.get(`${day} ${hour}`);
      pen.fillStyle = shown(one) ? `rgba(${heat}, ${strength(one, high)})` : one?.many ? part : hole;
      pen.fillRect(YEAR_LEFT + column * cell, YEAR_TOP + hour * YEAR_HIGH, cell, YEAR_HIGH - 1);
      const here = marked.get(`${day} ${hour}`);
      if (!here) continue;
      pen.fillStyle = colour(here.some((change) => change.breaks) ? "--bad" : "--warn");
      pen.fillRect(YEAR_LEFT + column * cell, YEAR_TOP - 4, 2, 24 * YEAR_HIGH + 4);
    }
  });
  pen.fillStyle = colour("--muted");
  pen.font = "11px system-ui, sans-serif";
  for (let hour = 0; hour < 24; hour += 6) pen.fillText(`${hour}`, 4, YEAR_TOP + hour * YEAR_HIGH + 10);
  days.forEach((day, column) => {
    if (day.endsWith("-01")) pen.fillText(moment(Date.parse(`${day}T12:00:00Z`), "UTC", { month: "short" }), YEAR_LEFT + column * cell, 11);
  });
}

function hatched(pen, sharp, ink) {
  const tile = new OffscreenCanvas(4 * sharp, 4 * sharp);
  const on = tile.getContext("2d");
  on.scale(sharp, sharp);
  on.fillStyle = colour("--card");
  on.fillRect(0, 0, 4, 4);
  on.fillStyle = ink;
  for (let at = 0; at < 4; at++) on.fillRect(at, 3 - at, 1, 1);
  const pattern = pen.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / sharp));
  return pattern;
}
