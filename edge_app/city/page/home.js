// All sites: on a map that needs no tiles, and as a list that can be searched.
import * as L from "/page/libraries/leaflet.js";
import { colour } from "/page/theme.js";
import { askAll } from "/page/requests.js";
import { element, number, text } from "/page/texts.js";
import { flow, watch } from "/page/live.js";
import { go } from "/page/city.js";

const COLOURS = { counting: "--good", late: "--warn", slow: "--warn", offline: "--bad", blind: "--bad", unknown: "--muted" };

export async function showHome(view) {
  const sites = await askAll("/api/v1/sites", "sites");
  document.title = text("city.title");
  const search = element("input", { type: "search", id: "search", placeholder: text("city.search"), "aria-label": text("city.search") });
  const list = element("ul", { class: "list" });
  const summary = element("p", { class: "muted", role: "status" });
  const box = element("div", { id: "map", role: "region", "aria-label": text("city.map") });
  view.append(
    element("h1", {}, text("city.title")),
    summary,
    element("div", { class: "home" }, box, element("section", { class: "card" }, search, list)),
  );
  const rows = new Map();
  for (const site of sites) {
    const shown = element("span", { class: "flow muted" }, text("city.waiting"));
    const row = element("li", {}, element("a", { href: `/street/${encodeURIComponent(site.id)}`, "data-view": true },
      element("span", { class: "road" }, site.road), shown,
      element("span", { class: `state ${site.state}` }, text(`city.state.${site.state}`)), element("span", { class: "muted" }, site.device)));
    list.append(row);
    rows.set(`${site.device}/${site.line}`, { row, shown, add: flow() });
  }
  const tell = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    sites.forEach((site, at) => {
      const hidden = wanted !== "" && !`${site.road} ${site.device} ${site.id}`.toLowerCase().includes(wanted);
      list.children[at].hidden = hidden;
      shown += !hidden;
    });
    const counting = sites.filter((site) => site.state === "counting").length;
    summary.textContent = shown || !sites.length
      ? text("city.summary", { counting: number(counting), all: number(sites.length) }) : text("city.nothing_found");
  };
  search.addEventListener("input", tell);
  tell();
  const map = drawMap(box, sites);
  const end = watch((interval) => {
    const row = rows.get(`${interval.device}/${interval.line}`);
    if (!row) return;
    const perHour = row.add(interval);
    row.shown.textContent = perHour === null ? text("city.unseen") : text("city.per_hour", { n: number(perHour) });
    row.row.classList.remove("flash");
    void row.row.offsetWidth; // begins the animation anew
    row.row.classList.add("flash");
  });
  return () => { end(); map?.remove(); };
}

function drawMap(box, sites) {
  const placed = sites.filter((site) => site.lat !== null && site.lon !== null);
  if (!placed.length) {
    box.append(element("p", { class: "muted", style: "padding: 16px" }, text("city.no_places")));
    return null;
  }
  const map = L.map(box, { attributionControl: false, preferCanvas: true, zoomSnap: 0.25 });
  map.fitBounds(placed.map((site) => [site.lat, site.lon]), { padding: [40, 40], maxZoom: 15 });
  for (const site of placed) {
    L.circleMarker([site.lat, site.lon], { radius: 9, weight: 3, color: colour("--card"), fillColor: colour(COLOURS[site.state]), fillOpacity: 1 })
      .bindTooltip(element("span", {}, `${site.road}: ${text(`city.state.${site.state}`)}`))
      .on("click", () => go(`/street/${encodeURIComponent(site.id)}`))
      .addTo(map);
  }
  return map;
}
