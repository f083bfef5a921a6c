// The public page: every street or one, within pages of others too. It needs no login and keeps nothing.
import { dayOf, momentOf } from "/page/days.js";
import { element, load, moment, number, text } from "/page/texts.js";

const WIDE = 480;
const HIGH = 150;
const BELOW = 20;
const EVERY_MS = 60000;

const asked = new URLSearchParams(location.search).get("language") ?? "";
const mine = asked ? `?language=${encodeURIComponent(asked)}` : "";
const chosen = location.pathname.match(/^\/public\/([^/]+)$/)?.[1];
const view = document.getElementById("view");

let shown = false;

async function show() {
  const answer = await fetch(`/api/v1/public/sites${chosen ? `/${chosen}` : ""}`);
  if (!answer.ok && answer.status !== 404) return later(answer);
  shown = true;
  const told = await answer.json();
  if (!answer.ok) {
    view.replaceChildren(element("h1", {}, text("public.title")), element("p", { class: "muted" }, text("public.none")), all());
    return;
  }
  const sites = chosen ? [told] : told.sites;
  const invented = told.synthetic ? element("p", { class: "note" }, text("public.invented")) : null;
  document.title = chosen ? told.road : text("public.title");
  const list = sites.length ? element("div", { class: "streets" }, sites.map(street)) : element("p", { class: "muted" }, text("public.none"));
  view.replaceChildren(...[invented, element("h1", { class: chosen ? "unseen" : "" }, document.title), list, chosen ? all() : null,
    element("footer", {}, text("public.how")), languages(known)].filter(Boolean));
}

// The city is busy: what is shown stays, and it is asked again when it says so.
function later(answer) {
  const wait = Number(answer.headers.get("retry-after")) || 30;
  if (!shown) view.replaceChildren(element("h1", {}, text("public.title")), element("p", { class: "muted" }, text("public.busy")));
  setTimeout(() => show().catch(() => {}), 1000 * wait * (1 + Math.random())); // not all at once
}

const all = () => element("p", {}, element("a", { href: `/public${mine}` }, text("public.all")));

function street(site) {
  const { now } = site;
  const both = now && now.left_to_right + now.right_to_left;
  return element("article", { class: "card" },
    element("h2", {}, element("a", { href: `/public/${encodeURIComponent(site.id)}${mine}` }, site.road)),
    now ? element("div", { class: "figure" }, text("public.per_hour", { n: number(both) })) : element("div", { class: "figure muted" }, text(site.part_seen ? "public.part_seen" : "public.unseen")),
    now ? element("div", {}, compared(both, now.usual)) : null,
    now && chosen ? element("ul", { class: "ways" }, ["left_to_right", "right_to_left"].map((way) =>
      element("li", {}, `${site[way].name || text(`direction.${way}`)}: ${number(now[way])}`))) : null,
    day(site), element("p", { class: "legend" }, element("span", {}, element("span", { class: "box typical" }), ` ${text("public.typical", { weekday: weekday(site) })}`),
      element("span", {}, element("span", { class: "box today" }), ` ${text("public.today")}`)), element("p", { class: "legend" }, busiest(site)),
    now ? element("div", { class: "muted" }, text("public.as_of", { at: moment(now.end, site.time_zone, { timeStyle: "short" }) })) : null);
}

const weekday = (site) => moment(site.today.start, site.time_zone, { weekday: "long" });

function compared(both, usual) {
  if (usual === null) return text("public.no_usual");
  // Of few vehicles a few more or less are chance.
  const chance = 2 * Math.sqrt(usual * 4);
  if (both < usual * 0.75 && both < usual - chance) return text("public.quieter");
  return text(both > usual * 1.25 && both > usual + chance ? "public.busier" : "public.as_usual");
}

function busiest(site) {
  const most = Math.max(...site.usual.vehicles, 0);
  if (!most) return text("public.no_usual");
  const at = Date.parse(site.usual.start) + 1000 * site.usual.seconds[site.usual.vehicles.indexOf(most)];
  return text("public.busiest", { hour: moment(at, site.time_zone, { timeStyle: "short" }), n: number(most) });
}

function day(site) {
  const most = Math.max(...site.usual.vehicles, ...site.today.vehicles, 1);
  const begin = Date.parse(site.today.start) / 1000;
  const x = (second) => (second / (Date.parse(site.today.end) / 1000 - begin)) * WIDE; // a day of 23 hours is as wide as any
  const y = (rate) => HIGH - (rate / most) * (HIGH - 8);
  const told = text("public.day", { weekday: weekday(site) });
  const usual = runs(site.usual).map((run) => `M${x(run[0][0])},${HIGH}${run.map(([second, rate]) => `L${x(second)},${y(rate)}L${x(second + 900)},${y(rate)}`).join("")}L${x(run.at(-1)[0] + 900)},${HIGH}Z`);
  const today = runs(site.today).map((run) => `M${run.map(([second, rate]) => `${x(second + 450)},${y(rate)}`).join("L")}`);
  const last = runs(site.today).at(-1)?.at(-1);
  return element("svg", { class: "day", viewBox: `0 0 ${WIDE} ${HIGH + BELOW}`, role: "img", "aria-label": told },
    element("path", { class: "usual", d: usual.join("") || "M0,0" }), element("path", { class: "base", d: `M0,${HIGH}H${WIDE}` }),
    element("path", { class: "today", d: today.join("") || "M0,0" }), last ? element("circle", { cx: x(last[0] + 450), cy: y(last[1]), r: 5 }) : null,
    [0, 6, 12, 18].map((hour) => element("text", { x: x(clockAt(site, begin, hour) - begin), y: HIGH + 15 }, `${hour}`)), element("title", {}, told));
}

// When clocks show an hour on the day that begins then.
function clockAt(site, begin, hour) {
  return Math.max(begin, momentOf(`${dayOf(begin, site.time_zone)}T${String(hour).padStart(2, "0")}:00:00`, site.time_zone));
}

// Where nothing was seen the line breaks: that is no zero.
function runs({ seconds, vehicles }) {
  const found = [];
  seconds.forEach((second, at) => {
    if (at === 0 || second - seconds[at - 1] > 900) found.push([]);
    found.at(-1).push([second, vehicles[at]]);
  });
  return found;
}

// Within pages of others their language is set in the address; here a reader may choose another one.
function languages(known) {
  const select = element("select", { "aria-label": text("page.language") },
    Object.entries(known.names).map(([code, name]) => element("option", { value: code, selected: code === known.language }, name)));
  select.addEventListener("change", () => { location.search = `?language=${encodeURIComponent(select.value)}`; });
  return element("p", { class: "languages" }, select);
}

const known = await load(asked);
await show();
setInterval(() => show().catch(() => {}), EVERY_MS); // what is shown stays while the city does not answer
