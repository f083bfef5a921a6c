// A day of a street: its curve against the usual day, below it how much of it was seen, and its quality flags in words.
import uPlot from "/page/libraries/uplot.min.js";
import { changeLines } from "/page/changes.js";
import { plotted, seenStrip } from "/page/charts.js";
import { clockOf } from "/page/days.js";
import { flagText } from "/page/fleet.js";
import { element, locale, number, text } from "/page/texts.js";
import { axis, colour } from "/page/theme.js";

export const QUARTER = 900;
const RIGHT_PX = 24; // beside both charts, for the last hour
export const all = (step) => Object.values(step.counts).reduce((sum, ways) => sum + ways.left_to_right + ways.right_to_left, 0);

// The card stays in place while what it tells is made anew: who has opened a calendar or a list keeps it.
export class DayCard {
  constructor(choices) {
    this.title = element("h2");
    this.usual = element("span", { class: "muted end" });
    [this.chart, this.strip, this.note, this.flags] = [1, 2, 3, 4].map(() => element("div"));
    this.chart.className = "chart";
    this.legend = element("p", { class: "legend" });
    this.card = element("section", { class: "card" }, element("div", { class: "row" }, this.title, choices.flat(), this.usual),
      this.note, this.chart, element("h3", {}, text("city.covered_percent")), this.strip, this.legend,
      element("h3", {}, text("fleet.flags")), this.flags);
  }

  // Returns what has to be destroyed before it is drawn again. named: the day in words, "" for today.
  draw(site, data, named) {
    const { day, usual, steps } = data;
    const nothing = !data.curve.vehicles.some((many) => many !== null);
    const marked = data.ofDay.some((one) => Date.parse(one.at) / 1000 >= day.begin && Date.parse(one.at) / 1000 < day.end);
    this.title.textContent = named ? text("city.day_and_usual", { day: named }) : text("city.today_and_usual");
    this.usual.textContent = usual.days ? text("city.usual_of", { n: number(usual.days) }) : text("city.no_usual");
    this.note.replaceChildren(...(nothing ? [element("p", { class: "note" }, text(steps.length ? "city.no_quarter" : "city.nothing_came"))] : []));
    this.legend.replaceChildren(text("city.missing_is_no_zero"), ...(marked ? [
      element("span", {}, element("span", { class: "rule" }), text("city.change_mark")),
      element("span", {}, element("span", { class: "rule break" }), text("city.break_mark"))] : []));
    this.flags.replaceChildren(element("p", { class: "flags" }, flagWords(steps)));
    return dayCharts(this.chart, this.strip, site, data, named);
  }
}

// How much of what came has a quality flag, and the minutes of each. Of a quarter with several flags only their time
// together is known: then it is at most so long.
function flagWords(steps) {
  const flags = new Map();
  let flagged = 0;
  for (const step of steps) {
    const whole = (Date.parse(step.end) - Date.parse(step.start)) / 1000;
    const seconds = step.flagged < 1 ? step.flagged * whole : Math.max(whole, step.length_s); // of a long interval more than the quarter
    flagged += seconds;
    for (const flag of step.flags) {
      const { seconds: before, alone } = flags.get(flag) ?? { seconds: 0, alone: true };
      flags.set(flag, { seconds: before + seconds, alone: alone && step.flags.length === 1 });
    }
  }
  if (!flags.size) return text("city.no_flags");
  const share = Math.min(1, flagged / Math.max(1, steps.reduce((sum, step) => sum + step.length_s, 0)));
  const each = [...flags].sort(([, one], [, other]) => other.seconds - one.seconds)
    .map(([flag, { seconds, alone }]) => text(alone ? "fleet.flag_minutes" : "city.flag_minutes_most", { flag: flagText(flag), n: number(seconds / 60) }));
  return `${text("city.flagged_share", { share: number(100 * share, 1) })} ${each.join("; ")}`;
}

// The day, and below it how much of each quarter was seen.
function dayCharts(box, strip, site, data, named) {
  const { begin, end } = data.day;
  const steps = new Map(data.steps.map((step) => [Date.parse(step.start) / 1000 - begin, step]));
  const told = new Map(data.curve.seconds.map((second, at) => [second, { rate: data.curve.vehicles[at], covered: data.curve.covered[at] }]));
  const clock = clockOf(site.time_zone); // by which days are compared: since midnight it is another time where clocks are changed
  const usual = new Map(data.usual.seconds.map((second, at) => [second, data.usual.vehicles[at]]));
  const seconds = Array.from({ length: Math.round((end - begin) / QUARTER) }, (_, at) => at * QUARTER);
  const part = (second) => (steps.has(second) && told.get(second)?.rate == null ? all(steps.get(second)) || null : null);
  const other = data.other?.vehicles;
  const times = seconds.map((second) => begin + second);
  const hour = new Intl.DateTimeFormat(locale(), { timeZone: site.time_zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const time = { ...axis(), values: (_, splits) => splits.map((at) => hour.format(new Date(at * 1000))) };
  const cursor = { sync: { key: "day" } };
  const day = plotted(box, 300, site.time_zone, {
    cursor,
    padding: [null, RIGHT_PX, null, null],
    scales: { y: { range: (_, __, most) => [0, Math.max(10, most * 1.1)] } },
    axes: [time, { ...axis(), size: 56, values: (_, splits) => splits.map((n) => number(n)) }],
    hooks: { draw: [changeLines(data.ofDay)] },
    series: [
      { label: text("city.time"), value: (_, at) => (at === null ? "–" : hour.format(new Date(at * 1000))) },
      { label: text("city.usual"), stroke: colour("--usual"), width: 2, dash: [6, 4], value: (_, n) => number(n) },
      { label: text("city.part_line"), fill: `${colour("--today")}44`, stroke: `${colour("--today")}66`, width: 1, paths: uPlot.paths.bars({ size: [0.9, 40], align: 1 }), points: { show: false }, value: (_, n) => number(n) },
      { label: named || text("city.today_line"), stroke: colour("--today"), width: 3, spanGaps: false, value: (_, n) => number(n) },
      ...(other ? [{ label: data.other.label, stroke: colour("--other"), width: 2, spanGaps: false, value: (_, n) => number(n) }] : []),
    ],
  }, [times, ...[(second) => usual.get(clock(begin + second)) ?? null, part, (second) => told.get(second)?.rate ?? null, ...(other ? [(second) => other.get(clock(begin + second)) ?? null] : [])].map((of) => seconds.map(of))]);
  const seen = (second) => (told.has(second) ? 100 * told.get(second).covered : begin + second + QUARTER < data.now ? 0 : null);
  const below = seenStrip(strip, site.time_zone, 56, { cursor, padding: [null, RIGHT_PX, null, null] }, [times, seconds.map(seen)]);
  return [day, below];
}
