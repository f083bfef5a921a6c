// What was measured beside the counts: speeds as a histogram and by hour, and turning flows. Nothing is shown where none are.
import { plotted, seenStrip } from "/page/charts.js";
import { nameOf } from "/page/flows.js";
import { WAYS } from "/page/live.js";
import { axis, colour } from "/page/theme.js";
import { ask, rfc } from "/page/requests.js";
import { element, locale, moment, number, text } from "/page/texts.js";

const DAYS = 7;
const BIN_KMH = 2;

const at = (site, now, what) => `/api/v1/sites/${encodeURIComponent(site)}/${what}?from=${rfc(now - DAYS * 86400)}&to=${rfc(now + 1)}`;
const file = (site, now, what) => element("p", {}, element("a", { href: at(site.id, now, `${what}.csv`), download: true, "data-held": what }, text("city.csv_measures")));

export const measured = (site, now) => ask(at(site, now, "measures"));

// The cards, and what has to be destroyed with them. weeks: the hours of the weeks before, with how much of each was seen.
export function measureCards(site, found, weeks, now) {
  const ways = WAYS.filter((way) => found.speeds[way]);
  const cards = [], charts = [];
  if (ways.length) {
    const chart = element("div", { class: "chart" }), strip = element("div");
    cards.push(element("section", { class: "card" },
      element("div", { class: "row" }, element("h2", {}, text("city.speeds")),
        element("span", { class: "muted end" }, text("city.speeds_of_days", { n: number(ways.reduce((sum, way) => sum + found.speeds[way].n, 0)) }))),
      found.lost.map((one) => element("p", { class: "muted" }, text("city.lost_day", { day: moment(one.start, "UTC", { dateStyle: "medium" }), reason: one.reason }))),
      element("div", { class: "scroll", tabindex: "0" }, speedTable(site, found.speeds, ways)),
      element("h3", {}, text("city.speed_histogram")), histogram(found.speeds, ways), legend(site, ways),
      element("h3", {}, text("city.speed_hours")), chart,
      element("h3", {}, text("city.covered_hours")), strip, file(site, now, "speeds")));
    charts.push(...hourCharts(chart, strip, site, found, ways, weeks, now));
  }
  if (found.flows.length) cards.push(flowCard(found.flows, file(site, now, "flows")));
  return { cards, draw: () => charts.map((one) => one()) };
}

const kmh = (n) => (n === null ? "–" : text("city.kmh", { n: number(n) }));

function speedTable(site, speeds, ways) {
  const heads = ["city.speed_mean", "city.speed_85", "city.speed_unmeasured"];
  return element("table", {},
    element("thead", {}, element("tr", {}, element("td", {}), heads.map((head) => element("th", { scope: "col" }, text(head))))),
    element("tbody", {}, ways.map((way) => {
      const { n, unmeasured, mean_kmh: mean, percentile_85_kmh: most } = speeds[way];
      const share = `${number((100 * unmeasured) / Math.max(1, n + unmeasured), 1)} %`;
      return element("tr", {}, element("th", { scope: "row" }, nameOf(site, way)), [kmh(mean), kmh(most), share].map((value) => element("td", {}, value)));
    })));
}

const legend = (site, ways) => element("p", { class: "legend" }, ways.map((way, at) => element("span", {}, element("span", { class: `box way-${at}` }), ` ${nameOf(site, way)}`)));

// Two bars a bin, one for each direction.
function histogram(speeds, ways) {
  const edges = ways.flatMap((way) => Object.keys(speeds[way].bins).map(Number));
  const first = Math.min(...edges), last = Math.max(...edges);
  const many = (way, edge) => speeds[way].bins[edge] ?? 0;
  const bins = Array.from({ length: (last - first) / BIN_KMH + 1 }, (_, at) => first + at * BIN_KMH);
  const most = Math.max(...bins.map((edge) => Math.max(...ways.map((way) => many(way, edge)))));
  const width = 720, height = 180, foot = 22, each = width / bins.length, part = (each * 0.86) / ways.length;
  const bars = bins.flatMap((edge, x) => ways.map((way, at) => {
    const tall = ((height - foot) * many(way, edge)) / most;
    return element("rect", { class: `way-${at}`, x: x * each + at * part, y: height - foot - tall, width: part, height: tall },
      element("title", {}, text("city.speed_bin", { from: number(edge), to: number(edge + BIN_KMH), n: number(many(way, edge)) })));
  }));
  const marks = bins.filter((edge) => edge % 10 === 0).map((edge) =>
    element("text", { x: ((edge - first) / BIN_KMH) * each, y: height - 5, class: "mark" }, number(edge)));
  return element("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": text("city.speed_histogram") }, bars, marks);
}

// The hours of seven days, and below them how much of each was seen.
function hourCharts(box, strip, site, found, ways, weeks, now) {
  const hours = new Map(found.hours.map((hour) => [Date.parse(hour.start) / 1000, hour.ways]));
  const begin = Date.parse(weeks.start) / 1000;
  const seen = new Map(weeks.seconds.map((second, at) => [begin + second, 100 * weeks.covered[at]]).filter(([at]) => at > now - DAYS * 86400));
  const seconds = [...new Set([...hours.keys(), ...seen.keys()])].sort((one, other) => one - other);
  const values = ways.map((way) => seconds.map((at) => hours.get(at)?.[way]?.percentile_85_kmh ?? null));
  const when = new Intl.DateTimeFormat(locale(), { timeZone: site.time_zone, weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(locale(), { timeZone: site.time_zone, weekday: "short" });
  const lines = ["--today", "--usual"];
  const cursor = { sync: { key: "speeds" } };
  const curve = () => plotted(box, 220, site.time_zone, {
    cursor,
    axes: [{ ...axis(), incrs: [86400], values: (_, splits) => splits.map((at) => day.format(new Date(at * 1000))) }, { ...axis(), size: 46, values: (_, splits) => splits.map((n) => number(n)) }],
    series: [{ label: text("city.time"), value: (_, at) => (at === null ? "–" : when.format(new Date(at * 1000))) },
      ...ways.map((way, at) => ({ label: nameOf(site, way), stroke: colour(lines[at]), width: 2, spanGaps: false, value: (_, n) => kmh(n) }))],
  }, [seconds, ...values]);
  const below = () => seenStrip(strip, site.time_zone, 46, { cursor }, [seconds, seconds.map((at) => seen.get(at) ?? 0)]);
  return [curve, below];
}

// The matrix of a junction study: rows are where vehicles enter.
function flowCard(flows, link) {
  const arms = [...new Set(flows.flatMap((flow) => [flow.origin, flow.to]))].sort();
  const sum = (from, to) => flows.filter((flow) => flow.origin === from && flow.to === to).reduce((n, flow) => n + flow.n, 0);
  return element("section", { class: "card" }, element("h2", {}, text("city.flows")),
    element("div", { class: "scroll", tabindex: "0" }, element("table", {}, element("caption", {}, text("city.flow_all")),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, text("city.flow_from")), arms.map((arm) => element("th", { scope: "col" }, arm)), element("th", { scope: "col" }, text("city.all")))),
      element("tbody", {}, arms.map((from) => element("tr", {}, element("th", { scope: "row" }, from), arms.map((to) => element("td", {}, number(sum(from, to)))),
        element("td", {}, number(arms.reduce((n, to) => n + sum(from, to), 0)))))))), link);
}
