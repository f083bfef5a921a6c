// The map: a pin a site, groups where they are close together, their roads, and the city's own tiles where it has some.
import L from "/page/libraries/leaflet.min.js";
import Supercluster from "/page/libraries/supercluster.min.js";
import { COLOURS, STATES } from "/page/states.js";
import { arrows, nameOf } from "/page/flows.js";
import { WAYS } from "/page/live.js";
import { colour } from "/page/theme.js";
import { element, number, text } from "/page/texts.js";
import { go } from "/page/city.js";

const GROUP_PX = 54; // nearer sites are one group
const ALONE_ZOOM = 17; // from here on every site has a pin of its own
const NEAR = 40; // so many pins in sight can show their traffic
const ASIDE_PX = 20; // from the place that several sites share
const ROAD_M = 90; // of a road to each side of its site
const ROAD_PX = 30; // at least
const EARTH_M = 156543.03392; // a pixel of zoom 0 at the equator

// Draw into a box; sites are shown by `show`. tiles: of /api/v1/map. rates: traffic by key of a site, as it is known.
export function drawMap(box, tiles, rates) {
  const map = L.map(box, { attributionControl: false, preferCanvas: true, zoomSnap: 0.5, maxZoom: 19 }).setView([0, 0], 1);
  box.addEventListener("scroll", () => box.scrollTo(0, 0)); // a pin that gets the focus must not shift the map
  const empty = element("p", { class: "muted nowhere" }, text("city.no_places"));
  box.append(empty);
  if (tiles) addTiles(map, tiles);
  const drawn = { roads: L.layerGroup().addTo(map), pins: new Map() }; // address of a group or site -> its marker
  let placed = [];
  let groups = null;

  function show(sites) {
    placed = sites.filter((site) => site.lat !== null && site.lon !== null);
    empty.hidden = placed.length > 0;
    groups = new Supercluster({ radius: GROUP_PX, extent: 256, maxZoom: ALONE_ZOOM - 1,
      map: (site) => ({ [site.state]: 1 }), reduce: (sum, one) => { for (const state in one) sum[state] = (sum[state] ?? 0) + one[state]; } });
    groups.load(placed.map((site) => ({ type: "Feature", geometry: { type: "Point", coordinates: [site.lon, site.lat] }, properties: site })));
    const held = [...drawn.pins.values()].find((marker) => marker.content === document.activeElement)?.getLatLng();
    for (const marker of drawn.pins.values()) marker.remove();
    drawn.pins.clear();
    draw();
    if (held) nearest(held.lat, held.lng)?.content.focus();
  }

  function draw() {
    if (!groups) return;
    const bounds = map.getBounds();
    const found = groups.getClusters([bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()], Math.floor(map.getZoom()));
    const wanted = new Map(found.map((one) => [one.properties.cluster ? `group ${one.id}` : one.properties.id, one]));
    for (const [name, marker] of drawn.pins) {
      if (wanted.has(name)) continue;
      marker.remove();
      drawn.pins.delete(name);
    }
    const alone = found.filter((one) => !one.properties.cluster).map((one) => one.properties);
    const near = alone.length <= NEAR;
    box.classList.toggle("near", near);
    for (const [name, one] of wanted) if (!drawn.pins.has(name)) drawn.pins.set(name, pin(one));
    spread(alone);
    drawn.roads.clearLayers();
    if (near) for (const site of alone) road(site)?.addTo(drawn.roads);
    if (near) for (const site of alone) tell(site);
  }

  // Sites at the very same place, as two lines of one device, stand around it.
  function spread(sites) {
    const there = new Map();
    for (const site of sites) {
      const place = `${site.lat} ${site.lon}`;
      there.set(place, [...(there.get(place) ?? []), drawn.pins.get(site.id).content]);
    }
    for (const pins of there.values()) pins.forEach((one, at) => { one.style.translate = pins.length > 1 ? around(at, pins.length) : ""; });
  }

  function pin(one) {
    const [lon, lat] = one.geometry.coordinates;
    const content = one.properties.cluster ? group(one, () => open(one)) : single(one.properties, map);
    // What can be clicked is the link or button within: it has the keyboard and a name by itself.
    const icon = L.divIcon({ className: "pin", html: content, iconSize: [0, 0] });
    return Object.assign(L.marker([lat, lon], { icon, interactive: false, keyboard: false }).addTo(map), { content, site: one.properties });
  }

  function open(one) {
    const [lon, lat] = one.geometry.coordinates;
    const held = box.contains(document.activeElement);
    const zoom = groups.getClusterExpansionZoom(one.id);
    map.once("moveend", () => { if (held) nearest(lat, lon)?.content.focus(); });
    map.flyTo([lat, lon], Math.min(zoom, map.getMaxZoom()), { animate: !matchMedia("(prefers-reduced-motion: reduce)").matches, duration: 0.4 });
  }

  function nearest(lat, lon) {
    const far = (marker) => map.distance(marker.getLatLng(), [lat, lon]);
    return [...drawn.pins.values()].reduce((best, marker) => (!best || far(marker) < far(best) ? marker : best), null);
  }

  function tell(site) {
    const known = rates.get(site.key);
    const marker = drawn.pins.get(site.id);
    if (!marker || !known) return;
    marker.content.querySelector(".ways").replaceChildren(...arrows(site, known));
    marker.content.querySelector(".unseen").textContent = label(site, known);
  }

  function road(site) {
    const style = { color: colour("--usual"), weight: 4 + 2 * Math.min(site.lanes ?? 2, 8), opacity: 0.6, lineCap: "butt", interactive: false };
    if (site.course) return L.polyline(site.course.map(([east, north]) => [north, east]), style);
    const bearing = site.left_to_right.bearing_deg ?? site.right_to_left.bearing_deg;
    if (bearing === null) return null;
    const metre = 2 ** map.getZoom() / (EARTH_M * Math.cos((site.lat * Math.PI) / 180)); // in pixels
    const half = Math.max(ROAD_M * metre, ROAD_PX);
    const at = map.project([site.lat, site.lon]);
    const turn = (bearing * Math.PI) / 180;
    const end = (side) => map.unproject([at.x + side * half * Math.sin(turn), at.y - side * half * Math.cos(turn)]);
    return L.polyline([end(-1), end(1)], style);
  }

  map.on("moveend", draw);
  return {
    show,
    fit() {
      if (placed.length) map.fitBounds(placed.map((site) => [site.lat, site.lon]), { padding: [40, 40], maxZoom: 15, animate: false });
      performance.mark("map"); // tests.trials.city_page reads when the map was there
    },
    told(keys) {
      if (!box.classList.contains("near")) return;
      for (const marker of drawn.pins.values()) if (keys.has(marker.site.key)) tell(marker.site);
    },
    remove: () => map.remove(),
  };
}

// A group says how many sites it has and how many of each state; its ring shows their shares, its mark the worst.
function group(one, opened) {
  const states = STATES.filter((state) => one.properties[state]);
  const many = one.properties.point_count;
  let from = 0;
  const ring = [...states].reverse().map((state) => {
    const to = from + (360 * one.properties[state]) / many;
    const part = `var(${COLOURS[state]}) ${from}deg ${to}deg`;
    from = to;
    return part;
  });
  const worst = states.find((state) => state !== "counting");
  const made = element("button", { class: many < 1000 ? "group" : "group large", onclick: opened },
    element("span", { class: "unseen" }, `${text("city.group", { n: number(many) })}: ${states.map((state) => `${number(one.properties[state])} ${text(`city.state.${state}`)}`).join(", ")}`),
    element("span", { class: "many", "aria-hidden": "true" }, number(many)),
    worst ? element("span", { class: `state ${worst}`, "aria-hidden": "true" }, number(one.properties[worst])) : null);
  made.style.background = `conic-gradient(${ring.join(", ")})`;
  return made;
}

function single(site, map) {
  return element("a", { class: `site state ${site.state}`, href: `/street/${encodeURIComponent(site.id)}`, title: site.road,
    onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      if (!event.detail || !map.dragging.moved()) go(event.currentTarget.getAttribute("href")); // else the map was dragged by it
    } }, element("span", { class: "unseen" }, label(site, null)), element("span", { class: "ways", "aria-hidden": "true" }));
}

function around(at, many) {
  const far = Math.max(ASIDE_PX, many * 6);
  const turn = (2 * Math.PI * (at + 0.5)) / many;
  return `${far * Math.sin(turn)}px ${-far * Math.cos(turn)}px`;
}

function label(site, rates) {
  const told = `${site.road}: ${text(`city.state.${site.state}`)}`;
  return rates ? `${told}. ${WAYS.map((way) => `${nameOf(site, way)}: ${text("city.per_hour", { n: number(rates[way]) })}`).join(", ")}` : told;
}

async function addTiles(map, tiles) {
  const { tileLayer } = await import("/page/tiles.js");
  if (!map.getContainer().isConnected) return;
  tileLayer(tiles).addTo(map);
  const credits = L.control({ position: "bottomright" });
  credits.onAdd = () => element("div", { class: "credits" },
    tiles.credits.flatMap((one) => [one.href ? element("a", { href: one.href, rel: "noreferrer" }, one.text) : one.text, " "]));
  credits.addTo(map);
}
