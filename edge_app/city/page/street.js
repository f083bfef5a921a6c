// One street: today against the usual day, the weeks before, classes by direction, what is missing, and a download.
import uPlot from "/page/libraries/uplot.min.js";
import { plotted } from "/page/charts.js";
import { axis, colour } from "/page/theme.js";
import { valuesOf } from "/page/refusals.js";
import { ask, rfc } from "/page/requests.js";
import { element, has, locale, moment, number, text } from "/page/texts.js";
import { heatMap, yearMap } from "/page/heat.js";
import { Flow, swapped, watch } from "/page/live.js";
import { may } from "/page/login.js";
import { changeLines, changeList } from "/page/changes.js";
import { Comparison } from "/page/compare.js";
import { beginOf, clockOf, dayOf, dayStart } from "/page/days.js";
import { measureCards, measured } from "/page/measures.js";

const DAY = 86400;
const QUARTER = 900;
const WEEKS = 8;
const RIGHT_PX = 24; // beside both charts, for the last hour
const OLDEST = "2000-01-01"; // of the days that can be chosen: whoever types a year passes by others
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
    element("p", { class: "muted", hidden: !site.state_code }, whyOf(site)),
    body,
  );
  let drawn = [];
  const flow = new Flow(site.last_minutes);
  const live = element("span", { id: "live-now" });
  const tellNow = () => {
    const rates = flow.rates();
    live.textContent = rates ? number(rates.left_to_right + rates.right_to_left) : text("city.unseen");
  };
  const again = () => refresh().catch(() => {});
  let chosen = ""; // day that is shown, "" for today
  const date = element("input", { type: "date", "aria-label": text("city.day"), min: OLDEST, required: true, onchange: () => { chosen = date.value; again(); } });
  const comparison = new Comparison(site, again);
  const refresh = async () => {
    const now = Date.now() / 1000;
    const midnight = dayStart(now, site.time_zone);
    const today = dayOf(now, site.time_zone);
    Object.assign(date, { max: today, value: chosen >= OLDEST && chosen < today ? chosen : today });
    const begin = date.value === today ? midnight : beginOf(date.value, site.time_zone);
    const day = { name: date.value, today: begin === midnight, begin, end: dayStart(begin + 1.5 * DAY, site.time_zone) };
    const first = dayStart(midnight - (WEEKS * 7 - 1) * DAY + DAY / 2, site.time_zone);
    const changesOf = (from, to) => ask(`/api/v1/sites/${encodeURIComponent(id)}/changes?from=${rfc(from)}&to=${rfc(to)}`);
    const [told, steps, curve, usual, weeks, { changes }, of, measures, other] = await Promise.all([
      askSite(),
      counts(id, begin, day.end, "quarter"),
      rates(id, begin, day.end),
      ask(`/api/v1/sites/${encodeURIComponent(id)}/usual?at=${rfc(begin + DAY / 2)}`),
      ask(`/api/v1/sites/${encodeURIComponent(id)}/hours?from=${rfc(first)}&to=${rfc(now + 1)}`),
      changesOf(first, now + 1),
      begin < first ? changesOf(begin, day.end) : { changes: [] },
      measured(id, now),
      comparison.day(day.name, rates),
    ]);
    flow.base(told.last_minutes);
    tellNow();
    drawn.forEach((one) => one.destroy());
    drawn = draw(body, site, { day, steps: steps.steps, curve, usual, weeks, changes, ofDay: [...of.changes, ...changes], measures, other, date, choice: comparison.parts, live, midnight, now });
  };
  await refresh();
  // Who is choosing a day keeps the calendar open.
  const timer = setInterval(() => document.activeElement.matches("select, input") || again(), 30000);
  const end = watch((interval) => {
    if (`${interval.device}/${interval.line}` !== `${site.device}/${site.line}`) return;
    flow.add(site.turned ? swapped(interval) : interval);
    tellNow();
  });
  return () => { clearInterval(timer); end(); drawn.forEach((one) => one.destroy()); };
}

// Why it is not counting; what its device says of that stays English, behind what it means.
function whyOf({ state_code: code, state_reason: sentence, state_parameters: parameters }) {
  if (!has(`city.why.${code}`)) return sentence; // of a city that is newer than this page
  const words = text(`city.why.${code}`, valuesOf(parameters));
  return parameters.device_says ? `${words} ${text("city.device_says", { words: parameters.device_says })}` : words;
}

const counts = (id, from, to, step) => ask(`/api/v1/sites/${encodeURIComponent(id)}/counts?from=${rfc(from)}&to=${rfc(to)}&step=${step}`);
const rates = (id, from, to) => ask(`/api/v1/sites/${encodeURIComponent(id)}/rates?from=${rfc(from)}&to=${rfc(to)}`);

function draw(body, site, data) {
  const chart = element("div", { class: "chart" });
  const strip = element("div");
  const { day } = data;
  // An interval longer than a quarter stands in the one where it begins, and is seen of those behind it too.
  const seen = data.curve.covered.reduce((sum, covered) => sum + covered * QUARTER, 0);
  const late = data.steps.reduce((sum, step) => sum + step.late_s, 0);
  const passed = Math.max(Math.min(data.now, day.end) - day.begin, 1);
  const share = Math.min(1, seen / passed);
  const cameLate = late / passed >= 0.0005 ? text("city.came_late", { share: number(Math.min(100, (100 * late) / passed), 1) }) : "";
  const named = day.today ? "" : moment(day.begin * 1000, site.time_zone, { dateStyle: "medium" });
  const { cards, draw: drawMeasures } = measureCards(site, data.measures);
  const vehicles = data.steps.reduce((sum, step) => sum + all(step), 0);
  const nothing = !data.curve.vehicles.some((many) => many !== null);
  const marked = data.ofDay.some((one) => Date.parse(one.at) / 1000 >= day.begin && Date.parse(one.at) / 1000 < day.end);
  const invented = site.synthetic || data.steps.some((step) => step.flags.includes("synthetic"));
  body.replaceChildren(...(invented ? [element("p", { class: "note" }, text("city.street_invented"))] : []),
    element("div", { class: "tiles" },
      tile(share < 0.995 ? text(named ? "city.day_at_least" : "city.today_at_least", { day: named }) : named || text("city.today"), number(vehicles), text("city.vehicles")),
      tile(text("city.covered"), `${number(100 * share, 1)} %`, [named || text("city.covered_of_today"), cameLate].filter(Boolean).join(" · ")),
      tile(text("city.doubtful"), vehicles ? `${number((100 * data.steps.reduce((sum, step) => sum + step.doubtful, 0)) / vehicles, 1)} %` : "–", text("city.doubtful_note")),
      tile(text("city.now"), data.live, text("city.last_minutes")),
    ),
    element("section", { class: "card" }, element("div", { class: "row" }, element("h2", {}, named ? text("city.day_and_usual", { day: named }) : text("city.today_and_usual")), data.date, data.choice,
      element("span", { class: "muted end" }, data.usual.days ? text("city.usual_of", { n: number(data.usual.days) }) : text("city.no_usual"))),
      nothing ? element("p", { class: "note" }, text(data.steps.length ? "city.no_quarter" : "city.nothing_came")) : null,
      chart, element("h3", {}, text("city.covered_percent")), strip,
      element("p", { class: "legend" }, text("city.missing_is_no_zero"),
        marked ? element("span", {}, element("span", { class: "rule" }), text("city.change_mark")) : null,
        marked ? element("span", {}, element("span", { class: "rule break" }), text("city.break_mark")) : null)),
    element("section", { class: "card" }, element("h2", {}, text("city.classes")), element("div", { class: "scroll", tabindex: "0" }, classTable(site, data.steps, named))),
    heatCard(site, data),
    ...cards,
    changeList(data.changes, site.time_zone),
    download(site, data, named),
  );
  return [...dayCharts(chart, strip, site, data, named), ...drawMeasures()];
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
  const below = plotted(strip, 70, site.time_zone, {
    cursor,
    padding: [null, RIGHT_PX, null, null],
    legend: { show: false },
    scales: { y: { range: [0, 100] } },
    axes: [{ ...axis(), show: false }, { ...axis(), size: 56, splits: () => [0, 100], values: (_, splits) => splits.map((n) => number(n)) }],
    series: [{}, { stroke: colour("--seen"), fill: `${colour("--seen")}44`, width: 1, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }],
  }, [times, seconds.map(seen)]);
  return [day, below];
}

function classTable(site, steps, named) {
  const ways = ["left_to_right", "right_to_left"];
  const names = Object.keys(steps[0]?.counts ?? {});
  const sums = names.map((name) => [name, ...ways.map((way) => steps.reduce((sum, step) => sum + step.counts[name][way], 0))]);
  const heads = ways.map((way) => site[way].name || text(`direction.${way}`));
  const totals = [1, 2].map((at) => sums.reduce((sum, row) => sum + row[at], 0));
  return element("table", {}, element("caption", {}, named || text("city.classes_of_today")),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, text("city.class")), heads.map((head) => element("th", { scope: "col" }, head)), element("th", { scope: "col" }, text("city.both")))),
    element("tbody", {}, sums.map(([name, a, b]) => element("tr", {}, element("th", { scope: "row" }, text(`class.${name}`)), [a, b, a + b].map((n) => element("td", {}, number(n))))),
      element("tr", {}, element("th", { scope: "row" }, text("city.all")), [...totals, totals[0] + totals[1]].map((n) => element("td", {}, number(n))))));
}

function download(site, data, named) {
  const from = data.midnight - (WEEKS * 7 - 1) * DAY;
  const link = (step, begin, label, kind = "csv", end = data.now) => element("a", { href: `/api/v1/sites/${encodeURIComponent(site.id)}/counts.${kind}?from=${rfc(begin)}&to=${rfc(end)}&step=${step}`, download: true }, label);
  return element("section", { class: "card row" }, element("h2", {}, text("city.download")),
    link("quarter", data.day.begin, named ? text("city.csv_day", { day: named }) : text("city.csv_today"), "csv", Math.min(data.now, data.day.end)), link("hour", from, text("city.csv_weeks", { n: number(WEEKS) })),
    link("hour", from, text("city.parquet_weeks", { n: number(WEEKS) }), "parquet"),
    link("hour", data.now - 365 * DAY, text("city.csv_year")),
    element("span", { class: "muted end" }, text("city.as_of", { at: moment(data.now * 1000, site.time_zone), zone: site.time_zone })));
}
