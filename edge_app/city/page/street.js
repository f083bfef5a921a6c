// One street: today against the usual day, the weeks before, classes by direction, what is missing, and a download.
import { valuesOf } from "/page/refusals.js";
import { ask, rfc } from "/page/requests.js";
import { element, has, moment, number, text } from "/page/texts.js";
import { heatMap, yearMap } from "/page/heat.js";
import { Flow, swapped, watch } from "/page/live.js";
import { may } from "/page/login.js";
import { changeList } from "/page/changes.js";
import { Comparison } from "/page/compare.js";
import { beginOf, dayOf, dayStart } from "/page/days.js";
import { DayCard, QUARTER, all } from "/page/street_day.js";
import { measureCards, measured } from "/page/measures.js";

const DAY = 86400;
const WEEKS = 8;
const OLDEST = "2000-01-01"; // of the days that can be chosen: whoever types a year passes by others

export async function showStreet(view, id) {
  const askSite = () => ask(`/api/v1/sites/${encodeURIComponent(id)}`);
  let site = await askSite();
  const head = heading(id);
  const live = element("span", { id: "live-now" });
  const flow = new Flow(site.last_minutes);
  const tellNow = () => {
    const rates = flow.rates();
    live.textContent = rates ? number(rates.left_to_right + rates.right_to_left) : text("city.unseen");
  };
  const again = () => refresh().catch(() => {});
  let chosen = ""; // day that is shown, "" for today
  let name; // of it
  const date = element("input", { type: "date", "aria-label": text("city.day"), min: OLDEST, required: true,
    onchange: () => { chosen = date.value; again(); }, onblur: () => { date.value = name; } });
  const comparison = new Comparison(site, again);
  const sheet = new Sheet(live, new DayCard([date, comparison.parts]));
  view.append(...head.parts, sheet.body);
  let begun = 0, shown = 0; // refreshes: of two that overlap the later one stays
  const refresh = async () => {
    const mine = ++begun;
    const now = Date.now() / 1000;
    const midnight = dayStart(now, site.time_zone);
    const today = dayOf(now, site.time_zone);
    const wanted = chosen >= OLDEST && chosen < today ? chosen : today;
    const begin = wanted === today ? midnight : beginOf(wanted, site.time_zone);
    const day = { name: wanted, today: begin === midnight, begin, end: dayStart(begin + 1.5 * DAY, site.time_zone) };
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
    if (mine < shown) return;
    shown = mine;
    site = told;
    head.tell(site);
    flow.base(site.last_minutes);
    tellNow();
    name = wanted;
    date.max = today;
    if (document.activeElement !== date) date.value = name; // whoever types a day is not disturbed
    sheet.draw(site, { day, steps: steps.steps, curve, usual, weeks, changes, ofDay: [...of.changes, ...changes], measures, other, midnight, now });
  };
  await refresh();
  const timer = setInterval(again, 30000);
  const end = watch((interval) => {
    if (`${interval.device}/${interval.line}` !== `${site.device}/${site.line}`) return;
    flow.add(site.turned ? swapped(interval) : interval);
    tellNow();
  });
  return () => { shown = Infinity; clearInterval(timer); end(); sheet.end(); };
}

// How the street is called and how it is, which is told anew with each refresh.
function heading(id) {
  const road = element("h1"), state = element("span"), counter = element("span", { class: "muted end" }), why = element("p", { class: "muted" });
  const parts = [element("div", { class: "row" }, road, state, counter,
    may("write") ? element("a", { href: `/inventory/${encodeURIComponent(id)}`, "data-view": true }, text("city.inventory")) : null), why];
  return { parts, tell(site) {
    document.title = road.textContent = site.road;
    state.className = `state ${site.state}`;
    state.textContent = text(`city.state.${site.state}`);
    counter.textContent = [site.device, site.line].filter(Boolean).join(" / ");
    why.hidden = !site.state_code;
    why.textContent = site.state_code ? whyOf(site) ?? "" : "";
  } };
}

// Why it is not counting; what its device says of that stays English, behind what it means.
function whyOf({ state_code: code, state_reason: sentence, state_parameters: parameters }) {
  if (!has(`city.why.${code}`)) return sentence; // of a city that is newer than this page
  const words = text(`city.why.${code}`, valuesOf(parameters));
  return parameters.device_says ? `${words} ${text("city.device_says", { words: parameters.device_says })}` : words;
}

const counts = (id, from, to, step) => ask(`/api/v1/sites/${encodeURIComponent(id)}/counts?from=${rfc(from)}&to=${rfc(to)}&step=${step}`);
const rates = (id, from, to) => ask(`/api/v1/sites/${encodeURIComponent(id)}/rates?from=${rfc(from)}&to=${rfc(to)}`);

// What is drawn of a street. The day with its choices and the heat map stay in place; the rest is made anew, and who is
// in a link or table of it by keyboard stays there.
class Sheet {
  constructor(live, dayCard) {
    Object.assign(this, { live, dayCard, drawn: [], heat: heatCard() });
    [this.above, this.classes, this.below] = [1, 2, 3].map(() => element("div"));
    this.body = element("div", {}, this.above, dayCard.card, this.classes, this.heat.card, this.below);
  }

  end() {
    this.drawn.forEach((one) => one.destroy());
    this.drawn = [];
  }

  draw(site, data) {
    const { day } = data;
    const named = day.today ? "" : moment(day.begin * 1000, site.time_zone, { dateStyle: "medium" });
    const { cards, draw: drawMeasures } = measureCards(site, data.measures, data.weeks, data.now);
    const invented = site.synthetic || data.steps.some((step) => step.flags.includes("synthetic"));
    const held = this.body.contains(document.activeElement) ? document.activeElement : null;
    const place = held && placeOf(held);
    this.end();
    this.above.replaceChildren(...(invented ? [element("p", { class: "note" }, text("city.street_invented"))] : []), tiles(this.live, data, named));
    this.classes.replaceChildren(element("section", { class: "card" }, element("h2", {}, text("city.classes")), element("div", { class: "scroll", tabindex: "0" }, classTable(site, data.steps, named))));
    this.heat.tell(site, data);
    this.below.replaceChildren(...cards, changeList(data.changes, site.time_zone), download(site, data, named));
    if (held && !held.isConnected) [...this.body.querySelectorAll("a, [tabindex]")].find((one) => placeOf(one) === place)?.focus({ preventScroll: true });
    this.drawn = [...this.dayCard.draw(site, data, named), ...drawMeasures()];
  }
}

// Where in the page a link or table is: it is another element after a refresh.
const placeOf = (one) => [one.closest("section")?.querySelector("h2")?.textContent, one.tagName, one.matches("a") ? one.dataset.held ?? one.textContent : one.className].join("\n");

function tiles(live, data, named) {
  const { day } = data;
  // An interval longer than a quarter stands in the one where it begins, and is seen of those behind it too.
  const seen = data.curve.covered.reduce((sum, covered) => sum + covered * QUARTER, 0);
  const late = data.steps.reduce((sum, step) => sum + step.late_s, 0);
  const passed = Math.max(Math.min(data.now, day.end) - day.begin, 1);
  const share = Math.min(1, seen / passed);
  const cameLate = late / passed >= 0.0005 ? text("city.came_late", { share: number(Math.min(100, (100 * late) / passed), 1) }) : "";
  const vehicles = data.steps.reduce((sum, step) => sum + all(step), 0);
  return element("div", { class: "tiles" },
    tile(share < 0.995 ? text(named ? "city.day_at_least" : "city.today_at_least", { day: named }) : named || text("city.today"), number(vehicles), text("city.vehicles")),
    tile(text("city.covered"), `${number(100 * share, 1)} %`, [named || text("city.covered_of_today"), cameLate].filter(Boolean).join(" · ")),
    tile(text("city.doubtful"), vehicles ? `${number((100 * data.steps.reduce((sum, step) => sum + step.doubtful, 0)) / vehicles, 1)} %` : "–", text("city.doubtful_note")),
    tile(text("city.now"), live, text("city.last_minutes")));
}

// The weeks before; a year once it is chosen, which stays while the rest is read anew.
function heatCard() {
  const choice = element("select", { class: "heat-span", "aria-label": text("city.heat_span") },
    element("option", { value: "weeks" }, text("city.weeks")), element("option", { value: "year" }, text("city.year")));
  const shown = element("div");
  let told;
  const weeks = () => heatMap(told.data.weeks, told.site.time_zone, WEEKS, told.data.now, told.data.changes);
  const fill = async () => {
    if (!told) return; // it is chosen before the street has come: then it is drawn as chosen
    shown.replaceChildren(choice.value === "year" ? await yearMap(told.site, told.data.now) : weeks());
    shown.querySelector(".scroll").scrollLeft = shown.scrollWidth * 10; // the newest first, where not all of it has room
  };
  choice.addEventListener("change", fill);
  return { card: element("section", { class: "card heat-card" }, element("div", { class: "row" }, element("h2", {}, text("city.hours")), choice), shown), tell(site, data) {
    const first = !told;
    told = { site, data };
    if (first && choice.value === "year") fill();
    if (choice.value === "weeks") shown.replaceChildren(weeks());
  } };
}

function tile(title, value, below) {
  return element("div", { class: "card" }, element("div", { class: "muted" }, title), element("div", { class: "big" }, value), element("div", { class: "muted" }, below));
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
  const link = (step, begin, label, kind = "csv", end = data.now) => element("a", { href: `/api/v1/sites/${encodeURIComponent(site.id)}/counts.${kind}?from=${rfc(begin)}&to=${rfc(end)}&step=${step}`, download: true, "data-held": `${step}.${kind} ${Math.round((end - begin) / DAY)}` }, label);
  return element("section", { class: "card row" }, element("h2", {}, text("city.download")),
    link("quarter", data.day.begin, named ? text("city.csv_day", { day: named }) : text("city.csv_today"), "csv", Math.min(data.now, data.day.end)), link("hour", from, text("city.csv_weeks", { n: number(WEEKS) })),
    link("hour", from, text("city.parquet_weeks", { n: number(WEEKS) }), "parquet"),
    link("hour", data.now - 365 * DAY, text("city.csv_year")),
    element("span", { class: "muted end" }, text("city.as_of", { at: moment(data.now * 1000, site.time_zone), zone: site.time_zone })));
}
