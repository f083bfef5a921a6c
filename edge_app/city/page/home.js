// All sites: on a map that needs no tiles, and as a list that can be searched. Thousands of them are grouped on the map,
// and the list shows the first of those that are wanted; what comes live changes only what is in sight.
import { ask, askAll } from "/page/requests.js";
import { element, number, restOf, searchField, text } from "/page/texts.js";
import { Flow, swapped, watch } from "/page/live.js";
import { drawMap } from "/page/map.js";
import { arrows } from "/page/flows.js";
import { STATES } from "/page/states.js";

const MOST_ROWS = 100;
const REFRESH_MS = 60000;
const FIT_MS = 300;

const plain = (words) => words.normalize("NFD").replace(/\p{M}/gu, "").replace(/đ/g, "d").toLowerCase();

export async function showHome(view) {
  const [first, about] = await Promise.all([askSites(), ask("/api/v1/map")]);
  document.title = text("city.title");
  const search = searchField({ id: "search", autocomplete: "off" });
  const list = element("ul", { class: "list" });
  const rest = restOf(MOST_ROWS);
  const summary = element("p", { class: "muted", role: "status" });
  const invented = element("p", { class: "note" });
  const states = element("div", { class: "states", role: "group", "aria-label": text("city.state_filter") });
  const box = element("div", { id: "map", role: "region", "aria-label": text("city.map") });
  view.append(
    element("h1", {}, text("city.title")),
    element("div", { class: "row" }, summary, states),
    invented,
    element("div", { class: "home" }, box, element("section", { class: "card" }, search, element("p", { class: "legend" }, text("city.flow_unit")), list, rest.line)),
  );
  let sites = sorted(first);
  let only = "";
  let found = sites;
  const flows = new Map(); // key of a site -> its traffic
  const rates = new Map(); // and its rates, null where too little was seen
  const begin = () => {
    for (const site of sites) {
      if (!flows.has(site.key)) flows.set(site.key, new Flow(site.last_minutes));
      else flows.get(site.key).base(site.last_minutes);
      rates.set(site.key, flows.get(site.key).rates());
    }
  };
  begin();
  const rows = new Map(); // key -> row in sight
  const map = drawMap(box, about.tiles, rates);

  const tell = () => {
    const words = plain(search.value.trim());
    found = sites.filter((site) => (!only || site.state === only) && (!words || wordsOf(site).includes(words)));
    const counting = sites.filter((site) => site.state === "counting").length;
    summary.textContent = found.length || !sites.length
      ? text("city.summary", { counting: number(counting), all: number(sites.length) }) : text("city.nothing_found");
    const many = sites.filter((site) => site.synthetic).length;
    invented.hidden = !many;
    invented.textContent = text(many === sites.length ? "city.all_invented" : "city.some_invented", { n: number(many) });
    const held = [...rows].find(([, row]) => row.row.contains(document.activeElement))?.[0];
    rows.clear();
    list.replaceChildren(...found.slice(0, MOST_ROWS).map((site) => {
      const row = rowOf(site, rates.get(site.key));
      rows.set(site.key, row);
      return row.row;
    }));
    rows.get(held)?.row.firstChild.focus({ preventScroll: true });
    rest.told(found.length);
    map.show(found);
  };
  const choose = (state) => {
    only = only === state ? "" : state;
    choices();
    tell();
    map.fit();
  };
  const choices = () => {
    const held = states.querySelector("button:focus")?.dataset.state;
    const many = (state) => sites.filter((site) => site.state === state).length;
    states.replaceChildren(...STATES.filter((state) => many(state) || only === state).map((state) =>
      element("button", { class: `state ${state}`, "data-state": state, "aria-pressed": String(only === state), onclick: () => choose(state) },
        `${text(`city.state.${state}`)}: ${number(many(state))}`)));
    states.querySelector(`[data-state=${held}]`)?.focus();
  };
  let fitting = 0;
  search.addEventListener("input", () => {
    tell();
    clearTimeout(fitting);
    fitting = setTimeout(() => map.fit(), FIT_MS);
  });
  // Who has begun to use the map keeps what is in sight.
  for (const used of ["pointerdown", "wheel", "keydown", "click"]) box.addEventListener(used, () => clearTimeout(fitting));
  byKeys(search, list);
  choices();
  tell();
  map.fit();

  const turnedOf = (all) => new Set(all.filter((site) => site.turned).map((site) => site.key));
  let turned = turnedOf(sites);
  const fresh = new Set(); // what came since the last frame
  const end = watch((interval) => {
    const key = `${interval.device}/${interval.line}`;
    const one = flows.get(key);
    if (!one) return; // of no site that is known here
    one.add(turned.has(key) ? swapped(interval) : interval);
    rates.set(key, one.rates());
    if (!fresh.size) requestAnimationFrame(() => {
      for (const one of fresh) rows.get(one)?.told(rates.get(one));
      map.told(fresh);
      fresh.clear();
    });
    fresh.add(key);
  });
  const timer = setInterval(async () => {
    if (document.hidden) return;
    const now = sorted(await askSites().catch(() => sites));
    const changed = now.length !== sites.length || now.some((site, at) => site.id !== sites[at].id || site.state !== sites[at].state || site.road !== sites[at].road || site.synthetic !== sites[at].synthetic);
    sites = now;
    turned = turnedOf(sites);
    begin();
    if (changed) {
      choices();
      tell();
    } else {
      for (const [key, row] of rows) row.told(rates.get(key));
      map.told(new Set(rates.keys()));
    }
  }, REFRESH_MS);
  return () => { end(); clearInterval(timer); clearTimeout(fitting); map.remove(); };
}

const askSites = () => askAll("/api/v1/sites", "sites", 10000);

const wordsOf = (site) => (site.words ??= plain(`${site.road} ${site.device} ${site.id} ${site.left_to_right.name} ${site.right_to_left.name}`));

function sorted(sites) {
  for (const site of sites) site.key = `${site.device}/${site.line}`;
  const rank = new Map(STATES.map((state, at) => [state, at]));
  const order = new Intl.Collator();
  return sites.sort((a, b) => rank.get(a.state) - rank.get(b.state) || order.compare(a.road, b.road) || order.compare(a.id, b.id));
}

function rowOf(site, known) {
  const shown = element("span", { class: "flow" });
  const row = element("li", {}, element("a", { href: `/street/${encodeURIComponent(site.id)}`, "data-view": true },
    element("span", { class: "road" }, site.road), shown,
    element("span", { class: `state ${site.state}` }, text(`city.state.${site.state}`)), element("span", { class: "muted device" }, site.synthetic ? [element("strong", {}, text("city.invented")), " "] : null, site.device)));
  const tell = (rates) => shown.replaceChildren(...(rates ? arrows(site, rates) : [element("span", { class: "muted" }, site.device ? text("city.unseen") : "–")]));
  tell(known);
  return { row, told: tell };
}

// Arrows go from the search into its results and through them; Enter in the search opens the first.
function byKeys(search, list) {
  const links = () => [...list.querySelectorAll("a")];
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") links()[0]?.focus();
    else if (event.key === "Enter") links()[0]?.click();
    else return;
    event.preventDefault();
  });
  list.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const all = links();
    (all[all.indexOf(event.target) + by] ?? (by < 0 ? search : event.target)).focus();
  });
}
