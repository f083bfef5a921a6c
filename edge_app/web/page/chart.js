// Bars of vehicles over time: one direction upwards, the other downwards, stacked by class. A bin of which nothing, or
// not all, is known is hatched: no vehicles and no picture are never confused.

import { svg } from "./elements.js";
import { number, t } from "./messages.js";

export const CLASSES = ["car", "motorcycle", "bus", "truck", "bicycle"];
const HEIGHT = 200, TOP = 22, BOTTOM = 42, RIGHT = 6, DIGIT = 8.5; // px

export function sum(bins, direction) {
  return bins.reduce((all, bin) => all + inDirection(bin, direction), 0);
}

export function byClass(bins) {
  const found = {};
  for (const bin of bins) for (const [label, [a, b]] of Object.entries(bin.counts)) {
    const counts = found[label] ||= [0, 0];
    counts[0] += a;
    counts[1] += b;
  }
  return found;
}

function inDirection(bin, n) { return Object.values(bin.counts).reduce((all, counts) => all + counts[n], 0); }

// bins: as the server sends them. names: of the two directions. label: (bin) -> text below it, "" for none.
// chosen: (bin) -> called for the bin that is pointed at.
export function drawChart(sheet, bins, { names, label, describe, chosen }) {
  const most = [0, 1].map((n) => Math.max(0, ...bins.map((bin) => inDirection(bin, n))));
  const top = nice(most[0]), bottom = nice(most[1]), inside = HEIGHT - TOP - BOTTOM;
  const width = Math.max(240, sheet.clientWidth), left = 10 + DIGIT * number(Math.max(top, bottom)).length;
  const step = (width - left - RIGHT) / bins.length;
  const scale = inside / (top + bottom), middle = TOP + top * scale;
  sheet.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  sheet.setAttribute("height", HEIGHT);
  sheet.setAttribute("role", "img");
  sheet.setAttribute("aria-label", describe);
  sheet.replaceChildren();
  for (const [value, y] of [[top, TOP], [0, middle], [bottom, HEIGHT - BOTTOM]]) {
    sheet.append(svg("line", { x1: left, x2: width - RIGHT, y1: y, y2: y, class: value ? "grid" : "axis" }));
    sheet.append(svg("text", { x: left - 6, y: y + 4, "text-anchor": "end", class: "scale" }, number(value)));
  }
  bins.forEach((bin, n) => {
    const x = left + n * step, gap = step > 6 ? Math.min(4, step * 0.2) : 0.6;
    if (bin.unknown) sheet.append(svg("rect", { x, y: TOP, width: step, height: inside, class: "unknown" }));
    for (const [direction, sign] of [[0, -1], [1, 1]]) {
      let y = middle;
      for (const name of CLASSES) {
        const height = (bin.counts[name]?.[direction] || 0) * scale;
        if (!height) continue;
        const from = sign < 0 ? y - height : y;
        sheet.append(svg("rect", { x: x + gap / 2, y: from, width: Math.max(1, step - gap), height, class: `bar ${name}` }));
        y += sign * height;
      }
    }
    const text = label(bin, n);
    if (text) sheet.append(svg("text", { x: x + step / 2, y: HEIGHT - BOTTOM + 19, "text-anchor": "middle", class: "scale" }, text));
  });
  names.forEach((name, n) => sheet.append(svg("text", { x: left, y: n ? HEIGHT - 5 : 15, class: "direction" }, `${n ? "▼" : "▲"} ${name}`)));
  sheet.onpointermove = sheet.onpointerdown = (event) => {
    const n = Math.floor((event.offsetX * width / sheet.clientWidth - left) / step);
    if (bins[n]) chosen(bins[n]);
  };
}

// What a bin says, for the line below a chart.
export function binText(bin, names, span) {
  const parts = names.map((name, n) => {
    const classes = CLASSES.filter((label) => bin.counts[label]?.[n]).map((label) => `${number(bin.counts[label][n])} ${t(`class.${label}`)}`);
    return `${name} ${number(inDirection(bin, n))}${classes.length ? ` (${classes.join(", ")})` : ""}`;
  });
  const coverage = bin.coverage === null ? t("chart.untold") : t("chart.coverage", { share: number(bin.coverage * 100) });
  const flags = bin.quality.map((flag) => t(`flag.${flag}`));
  return [`${span}: ${parts.join(" · ")}`, coverage, ...flags].join(" · ");
}

function nice(value) {
  if (value <= 4) return Math.max(2, value);
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * power).find((n) => n >= value);
}
