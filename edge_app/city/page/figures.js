// Figures of one device over the last days, as small lines: of the program, of the picture, of what the detector finds.
import { plotted } from "/page/charts.js";
import { ask, rfc } from "/page/requests.js";
import { element, moment, number, text } from "/page/texts.js";
import { axis, colour } from "/page/theme.js";

const DAY = 86400;
const QUARTER = 900;
const SPANS = [1, 7, 35];
const HEIGHT = 96;
const COLOURS = ["--today", "--other", "--seen", "--warn", "--usual"];
const REFRESH_MS = 300000;

// [text, names of columns, factor, digits]
const CHARTS = {
  software: [["frames_per_s", ["frames_per_s"], 1, 1], ["dropped_share", ["dropped_share"], 100, 1], ["latency", ["stages_ms.latency.p95"], 1, 0], ["detect", ["stages_ms.detect.p95"], 1, 0],
    ["unsent", ["unsent"], 1, 0], ["memory_mb", ["memory_mb"], 1, 0], ["temperature_c", ["temperature_c"], 1, 1], ["throttled_share", ["throttled_share"], 100, 1],
    ["disk_free_gb", ["disk_free_mb"], 0.001, 1], ["starts", ["starts"], 1, 0]],
  input: [["brightness", ["brightness"], 1, 0], ["contrast", ["contrast"], 1, 1], ["sharpness", ["sharpness"], 1, 2], ["noise", ["noise"], 1, 2], ["shift", ["shift"], 100, 1],
    ["still_share", ["still_share"], 100, 0], ["empty_share", ["empty_share"], 100, 0]],
  output: [["detections", ["detections"], 1, 2], ["detection_score", ["detection_score"], 1, 2], ["score", ["score"], 1, 2], ["size_px", ["size_px"], 1, 0],
    ["classes", ["car", "motorcycle", "bus", "truck", "bicycle"].map((name) => `classes.${name}`), 1, 0], ["directions", ["directions.left_to_right", "directions.right_to_left"], 1, 0],
    ["track_s", ["track_s"], 1, 1], ["fragment_share", ["fragment_share"], 100, 1], ["died_share", ["died_share"], 100, 1], ["doubtful_share", ["doubtful_share"], 100, 1]],
};

// Fill a part of the view, and return what is to be called when it is left.
export function showFigures(body, device) {
  const choice = element("select", { "aria-label": text("city.span") }, SPANS.map((days) => element("option", { value: days }, text("city.days_span", { n: number(days) }))));
  choice.value = "7";
  const cards = element("div");
  body.append(element("div", { class: "row" }, element("h2", {}, text("city.figures")), choice), cards);
  let drawn = [];
  let newest = 0;
  const clear = () => { drawn.forEach((one) => one.destroy()); drawn = []; };
  const refresh = async () => {
    const mine = ++newest, now = Math.floor(Date.now() / 1000), days = Number(choice.value);
    const told = await ask(`/api/v1/devices/${device.split("/").map(encodeURIComponent).join("/")}/figures?from=${rfc(now - days * DAY)}&to=${rfc(now)}`);
    if (mine !== newest || !body.isConnected) return;
    clear();
    cards.replaceChildren(element("p", { class: "muted" }, text(told.start.length ? "city.figures_of" : "city.no_figures")));
    if (!told.start.length) return;
    for (const [kind, charts] of Object.entries(CHARTS)) {
      const grid = element("div", { class: "figures" });
      cards.append(element("section", { class: "card" }, element("h3", {}, text(`figures.${kind}`)), grid));
      for (const one of charts) drawn.push(...chart(grid, kind, one, told, days));
    }
  };
  const again = () => refresh().catch(() => {});
  choice.addEventListener("change", again);
  again();
  const timer = setInterval(again, REFRESH_MS);
  return () => { newest += 1; clearInterval(timer); clear(); };
}

// A quarter that is not told is a hole, and what was never measured has no chart.
function chart(grid, kind, [name, columns, factor, digits], told, days) {
  const known = columns.filter((column) => told.columns[`${kind}.${column}`]);
  if (!known.length) return [];
  const times = [], at = new Map(told.start.map((start, row) => [start, row]));
  for (let time = told.start[0]; time <= told.start.at(-1); time += QUARTER) times.push(time);
  const values = known.map((column) => times.map((time) => {
    const value = told.columns[`${kind}.${column}`][at.get(time)];
    return value === null || value === undefined ? null : value * factor;
  }));
  const newest = values.map((one) => one.findLast((value) => value !== null));
  const label = (column) => text(column.startsWith("classes.") ? `class.${column.slice(8)}` : column.startsWith("directions.") ? `direction.${column.slice(11)}` : `figure.${name}`);
  const box = element("div", { class: "figure", role: "img", "aria-label": `${text(`figure.${name}`)}: ${newest.map((value) => number(value, digits)).join(", ")}` });
  grid.append(element("div", {}, element("div", { class: "row" }, element("span", { class: "muted" }, text(`figure.${name}`)), known.length > 1 ? null : element("strong", { class: "end" }, number(newest[0], digits))), box,
    known.length > 1 ? element("p", { class: "legend" }, known.map((column, row) => element("span", {}, element("span", { class: "box", style: `color: var(${COLOURS[row]})` }), ` ${label(column)}: ${number(newest[row], digits)}`))) : null));
  const day = (seconds) => moment(seconds * 1000, undefined, days > 1 ? { month: "numeric", day: "numeric" } : { hour: "2-digit", minute: "2-digit" });
  return [plotted(box, HEIGHT, undefined, {
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, least, most) => [Math.min(0, least ?? 0), Math.max(most ?? 0, 10 ** -digits) * 1.1] } },
    axes: [{ ...axis(), size: 24, values: (_, splits) => splits.map(day) }, { ...axis(), size: 52, space: 28, values: (_, splits) => splits.map((value) => number(value, digits)) }],
    series: [{}, ...known.map((_, row) => ({ stroke: colour(COLOURS[row]), width: 1.5, spanGaps: false, points: { show: times.length < 3 } }))],
  }, [times, ...values])];
}
