// One street: today against the usual day, the weeks before, classes by direction, what is missing, and a download.
import uPlot from "/page/libraries/uplot.min.js";
import { plotted } from "/page/charts.js";
import { axis, colour } from "/page/theme.js";
import { ask, rfc } from "/page/requests.js";
import { element, language, moment, number, text } from "/page/texts.js";
import { heatMap, yearMap } from "/page/heat.js";
import { Flow, swapped, watch } from "/page/live.js";
import { may } from "/page/login.js";
import { changeLines, changeList } from "/page/changes.js";
import { Comparison } from "/page/compare.js";
import { measureCards, measured } from "/page/measures.js";

const DAY = 86400;
const WEEKS = 8;
const all = (step) => Object.values(step.counts).reduce((sum, ways) => sum + ways.left_to_right + ways.right_to_left, 0);

export async function showStreet(view, id) {
  const askSite = () => ask(`/api/v1/sites/${encodeURIComponent(id)}`);
  const site = await askSite();
  document.title = site.road;
  const body = element("div");
  view.append(
    element("div", { class: "row" }, element("h1", {}, site.road), element("span", { class: `state ${site.state}` }, text(`city.state.${site.state}`)),
      element("span", { class: "muted end" }, [site.device, site.line].filter(Boolean).join(" / ")),
      may("write") ? element("a", { href: `/inventory/${encodeURIComponent(id)}`, "data-view": true }, text("city.inventory")) : null),
    element("p", { class: "muted", hidden: !site.state_reason }, site.state_reason),
    body,
  );
  let drawn = [];
  const flow = new Flow(site.last_minutes);
  const live = element("span", { id: "live-now" });
  const tellNow = () => {
    const rates = flow.rates();
    live.textContent = rates ? text("city.per_hour", { n: number(rates.left_to_right + rates.right_to_left) }) : text("city.unseen");
  };
  const comparison = new Comparison(site, () => refresh().catch(() => {}));
  const refresh = async () => {
    const now = Date.now() / 1000;
    const midnight = dayStart(now, site.time_zone);
    const first = dayStart(midnight - (WEEKS * 7 - 1) * DAY + DAY / 2, site.time_zone);
    const [told, today, usual, weeks, { changes }, measures, other] = await Promise.all([
      askSite(),
      counts(id, midnight, now + 1, "quarter"),
      ask(`/api/v1/sites/${encodeURIComponent(id)}/usual?at=${rfc(now)}`),
      ask(`/api/v1/sites/${encodeURIComponent(id)}/hours?from=${rfc(first)}&to=${rfc(now + 1)}`),
      ask(`/api/v1/sites/${encodeURIComponent(id)}/changes?from=${rfc(first)}&to=${rfc(now + 1)}`),
      measured(id, now),
      comparison.day(now, midnight, counts, dayStart),
    ]);
    flow.base(told.last_minutes);
    tellNow();
    drawn.forEach((one) => one.destroy());
    drawn = draw(body, site, { today: today.steps, usual, weeks, changes, measures, other, choice: comparison.select, live, midnight, now });
  };
  await refresh();
  const timer = setInterval(() => refresh().catch(() => {}), 30000);
  const end = watch((interval) => {
    if (`${interval.device}/${interval.line}` !== `${site.device}/${site.line}`) return;
    flow.add(site.turned ? swapped(interval) : interval);
    tellNow();
  });
  return () => { clearInterval(timer); end(); drawn.forEach((one) => one.destroy()); };
}

const counts = (id, from, to, step) => ask(`/api/v1/sites/${encodeURIComponent(id)}/counts?from=${rfc(from)}&to=${rfc(to)}&step=${step}`);

// Begin of the local day, UTC s: clocks may have been changed since.
export function dayStart(at, timeZone) {
  const parts = Object.fromEntries(new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit" }).formatToParts(new Date(at * 1000)).map((part) => [part.type, Number(part.value)]));
  const guess = Math.floor(at) - parts.hour * 3600 - parts.minute * 60 - parts.second;
  const wall = Number(new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", hour: "2-digit" }).format(new Date(guess * 1000)));
  return wall === 0 ? guess : guess + (wall > 12 ? 24 - wall : -wall) * 3600;
}

function draw(body, site, data) {
  const chart = element("div", { class: "chart" });
  const seen = data.today.reduce((sum, step) => sum + step.covered * 900, 0);
  const passed = Math.max(data.now - data.midnight, 1);
  const share = Math.min(1, seen / passed);
  const { cards, draw: drawMeasures } = measureCards(site, data.measures);
  body.replaceChildren(
    element("div", { class: "tiles" },
      tile(text(share < 0.995 ? "city.today_at_least" : "city.today"), number(data.today.reduce((sum, step) => sum + all(step), 0)), text("city.vehicles")),
      tile(text("city.covered"), `${number(100 * share, 1)} %`, text("city.covered_of_today")),
      tile(text("city.now"), data.live, text("city.last_minutes")),
    ),
    element("section", { class: "card" }, element("div", { class: "row" }, element("h2", {}, text("city.today_and_usual")), data.choice,
      element("span", { class: "muted end" }, data.usual.days ? text("city.usual_of", { n: number(data.usual.days) }) : text("city.no_usual"))), chart,
      element("p", { class: "legend" }, text("city.missing_is_no_zero"))),
    element("section", { class: "card" }, element("h2", {}, text("city.classes")), element("div", { class: "scroll", tabindex: "0" }, classTable(site, data.today))),
    heatCard(site, data),
    ...cards,
    changeList(data.changes, site.time_zone),
    download(site, data),
  );
  return [dayChart(chart, site, data), ...drawMeasures()];
}

// The weeks before; a year once it is chosen, which stays while the rest is read anew.
function heatCard(site, data) {
  const weeks = heatMap(data.weeks, site.time_zone, WEEKS, data.now, data.changes);
  const held = document.querySelector(".heat-card");
  const choice = element("select", { class: "heat-span", "aria-label": text("city.heat_span") },
    element("option", { value: "weeks" }, text("city.weeks")), element("option", { value: "year" }, text("city.year")));
  const shown = element("div", {}, weeks);
  choice.addEventListener("change", async () => {
    shown.replaceChildren(choice.value === "year" ? await yearMap(site, data.now) : weeks);
    shown.querySelector(".scroll").scrollLeft = shown.scrollWidth * 10; // the newest first, where not all of it has room
  });
  if (held?.querySelector(".heat-span").value === "year") return held;
  return element("section", { class: "card heat-card" }, element("div", { class: "row" }, element("h2", {}, text("city.hours")), choice), shown);
}

function tile(title, value, below) {
  return element("div", { class: "card" }, element("div", { class: "muted" }, title), element("div", { class: "big" }, value), element("div", { class: "muted" }, below));
}

function dayChart(box, site, data) {
  const today = new Map(data.today.map((step) => [(Date.parse(step.start) / 1000 - data.midnight), step]));
  const usual = new Map(data.usual.seconds.map((second, at) => [second, data.usual.vehicles[at]]));
  const seconds = Array.from({ length: 96 }, (_, at) => at * 900);
  // A rate: what was not seen is no zero, so a quarter that was seen by half stands for twice its vehicles.
  const rate = (step) => (step && step.covered >= 0.5 ? all(step) / step.covered : null);
  const other = data.other && new Map(data.other.steps.map((step) => [Date.parse(step.start) / 1000 - data.other.begin, step]));
  const columns = [
    seconds.map((second) => data.midnight + second),
    seconds.map((second) => usual.get(second) ?? null),
    seconds.map((second) => rate(today.get(second))),
    seconds.map((second) => (today.has(second) ? 100 * today.get(second).covered : second + 900 < data.now - data.midnight ? 0 : null)),
    ...(other ? [seconds.map((second) => rate(other.get(second)))] : []),
  ];
  const hour = new Intl.DateTimeFormat(language(), { timeZone: site.time_zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const options = {
    scales: { y: { range: (_, __, most) => [0, Math.max(10, most * 1.1)] }, seen: { range: [0, 700] } },
    axes: [{ ...axis(), values: (_, splits) => splits.map((at) => hour.format(new Date(at * 1000))) }, { ...axis(), size: 56, values: (_, splits) => splits.map((n) => number(n)) }],
    hooks: { draw: [changeLines(data.changes)] },
    series: [
      { label: text("city.time"), value: (_, at) => (at === null ? "–" : hour.format(new Date(at * 1000))) },
      { label: text("city.usual"), stroke: colour("--usual"), width: 2, dash: [6, 4], value: (_, n) => number(n) },
      { label: text("city.today_line"), stroke: colour("--today"), width: 3, spanGaps: false, value: (_, n) => number(n) },
      { label: text("city.covered_percent"), scale: "seen", stroke: colour("--seen"), fill: `${colour("--seen")}44`, width: 1, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false }, value: (_, n) => number(n) },
      ...(other ? [{ label: data.other.label, stroke: colour("--warn"), width: 2, spanGaps: false, value: (_, n) => number(n) }] : []),
    ],
  };
  return plotted(box, 300, site.time_zone, options, columns);
}

function classTable(site, steps) {
  const ways = ["left_to_right", "right_to_left"];
  const names = Object.keys(steps[0]?.counts ?? {});
  const sums = names.map((name) => [name, ...ways.map((way) => steps.reduce((sum, step) => sum + step.counts[name][way], 0))]);
  const heads = ways.map((way) => site[way].name || text(`direction.${way}`));
  const totals = [1, 2].map((at) => sums.reduce((sum, row) => sum + row[at], 0));
  return element("table", {}, element("caption", {}, text("city.classes_of_today")),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, text("city.class")), heads.map((head) => element("th", { scope: "col" }, head)), element("th", { scope: "col" }, text("city.both")))),
    element("tbody", {}, sums.map(([name, a, b]) => element("tr", {}, element("th", { scope: "row" }, text(`class.${name}`)), [a, b, a + b].map((n) => element("td", {}, number(n))))),
      element("tr", {}, element("th", { scope: "row" }, text("city.all")), [...totals, totals[0] + totals[1]].map((n) => element("td", {}, number(n))))));
}

function download(site, data) {
  const from = data.midnight - (WEEKS * 7 - 1) * DAY;
  const link = (step, begin, label, kind = "csv") => element("a", { href: `/api/v1/sites/${encodeURIComponent(site.id)}/counts.${kind}?from=${rfc(begin)}&to=${rfc(data.now)}&step=${step}`, download: true }, label);
  return element("section", { class: "card row" }, element("h2", {}, text("city.download")),
    link("quarter", data.midnight, text("city.csv_today")), link("hour", from, text("city.csv_weeks", { n: number(WEEKS) })),
    link("hour", from, text("city.parquet_weeks", { n: number(WEEKS) }), "parquet"),
    link("hour", data.now - 365 * DAY, text("city.csv_year")),
    element("span", { class: "muted end" }, text("city.as_of", { at: moment(data.now * 1000, site.time_zone), zone: site.time_zone })));
}
