// All sites as they are described, files of them, and a form for one.
import { momentOf, wallOf } from "/page/days.js";
import { edited } from "/page/edits.js";
import { ask, askAll, send } from "/page/requests.js";
import { element, locale, number, restOf, searchField, stacked, text } from "/page/texts.js";
import { go } from "/page/city.js";
import { WAYS } from "/page/live.js";
import { may } from "/page/login.js";

const NEW = "-"; // no site can have this id
const MOST_ROWS = 200;

export async function showInventory(view) {
  document.title = text("city.inventory");
  const { features } = await ask("/api/v1/inventory.geojson");
  const order = new Intl.Collator(locale(), { numeric: true });
  features.sort((a, b) => order.compare(a.properties.road, b.properties.road) || order.compare(a.id, b.id));
  const heads = ["city.road", "city.site", "city.time_zone", "city.lanes", "city.attached", "city.on_public_page"];
  const told = element("p", { role: "status", class: "muted" }, may("write") ? "" : text("city.for_engineers"));
  const filter = searchField();
  const body = element("tbody");
  const rest = restOf(MOST_ROWS);
  view.append(element("h1", {}, text("city.inventory")), files(told), told,
    element("section", { class: "card" }, filter, element("div", { class: "scroll", tabindex: "0" }, element("table", { class: "stack" },
      element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", class: "text" }, text(head))))), body)), rest.line));
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const found = features.filter(({ id, properties: site }) => `${id} ${site.road} ${linesOf(site)}`.toLowerCase().includes(wanted));
    body.replaceChildren(...found.slice(0, MOST_ROWS).map(({ id, properties: site }) => stacked(heads, [
      element("th", { scope: "row" }, element("a", { href: `/inventory/${encodeURIComponent(id)}`, "data-view": true }, site.road)),
      [id, site.time_zone, number(site.lanes), linesOf(site) || "–", site.public ? "✓" : "–"].map((cell) => element("td", { class: "text" }, cell))].flat())));
    rest.told(found.length);
  };
  filter.addEventListener("input", draw);
  draw();
}

const linesOf = (site) => site.attachments.map((one) => `${one.device}/${one.line}`).join(", ");

function files(told) {
  const file = element("input", { type: "file", id: "file", accept: ".csv,.geojson,.json", class: "unseen" });
  file.addEventListener("change", async () => {
    const chosen = file.files[0];
    const csv = chosen.name.toLowerCase().endsWith(".csv");
    told.className = "";
    told.textContent = text("city.saving");
    file.disabled = true;
    try {
      const done = await send("POST", `/api/v1/inventory.${csv ? "csv" : "geojson"}`, await chosen.text(), csv ? "text/csv" : "application/geo+json");
      told.textContent = text("city.imported", { n: number(done.sites), changed: number(done.changed.length) });
      told.className = "";
    } catch (error) {
      told.textContent = error.message;
      told.className = "refused";
    }
    file.value = "";
    file.disabled = false;
  });
  const writes = may("write");
  return element("section", { class: "card row" },
    writes ? element("a", { class: "button", href: `/inventory/${NEW}`, "data-view": true }, text("city.new_site")) : null,
    element("a", { href: "/api/v1/inventory.csv", download: true }, "CSV"), element("a", { href: "/api/v1/inventory.geojson", download: true }, "GeoJSON"),
    ...(writes ? [file, element("label", { class: "button", for: "file" }, text("city.import"))] : []));
}

export async function showSite(view, id) {
  const fresh = id === NEW;
  const writes = may("write");
  if (fresh && !writes) {
    view.append(element("h1", {}, text("city.inventory")), element("p", { class: "muted" }, text("city.for_engineers")));
    return;
  }
  const site = fresh ? empty() : await ask(`/api/v1/inventory/${encodeURIComponent(id)}`);
  const devices = await askAll("/api/v1/devices", "devices");
  document.title = fresh ? text("city.new_site") : site.road;
  const heading = element("h1", {}, document.title);
  const told = element("p", { role: "alert" });
  const lines = element("div", {});
  const add = (one) => lines.append(attachmentPart(one, form ? form.elements.time_zone.value : site.time_zone));
  let form = null;
  site.attachments.forEach(add);
  const field = (name, label, value, more = {}) => element("label", { class: "field" }, element("span", {}, label), element("input", { name, value: value ?? "", ...more }));
  form = element("form", { class: "card" },
    element("div", { class: "fields" },
      fresh ? field("id", `${text("city.site")} (${text("city.site_hint")})`, "", { required: true, pattern: "[a-z0-9][a-z0-9\\-]*", maxlength: 200 }) : null,
      field("road", text("city.road"), site.road, { required: true, maxlength: 200 }),
      field("time_zone", text("city.time_zone"), site.time_zone, { required: true, list: "zones" }),
      field("lat", text("city.lat"), site.lat, { type: "number", step: "any", min: -90, max: 90 }),
      field("lon", text("city.lon"), site.lon, { type: "number", step: "any", min: -180, max: 180 }),
      field("lanes", text("city.lanes"), site.lanes, { type: "number", min: 1, max: 30 }),
      element("label", { class: "field rest" }, element("span", {}, `${text("city.course")} (${text("city.course_hint")})`), element("textarea", { name: "course", rows: 2, spellcheck: "false", placeholder: "4.8921 52.3731; 4.8934 52.3738" }, courseText(site.course)))),
    element("div", { class: "fields" },
      WAYS.flatMap((way) => [field(`${way}.name`, text(`direction.${way}`), site[way].name, { maxlength: 200 }),
        field(`${way}.bearing`, `${text(`direction.${way}`)}: ${text("city.bearing")}`, site[way].bearing_deg, { type: "number", min: 0, max: 359 })])),
    element("label", { class: "check" }, element("input", { type: "checkbox", name: "public", checked: site.public }), text("city.on_public_page")),
    element("h2", {}, text("city.attached")), element("p", { class: "muted" }, text("city.attached_hint")),
    lines,
    element("button", { type: "button", onclick: () => add({ device: "", line: "", begins: null, ends: null, turned: false, breaks: false, reason: "" }) }, text("city.add_line")),
    told,
    element("div", { class: "row" }, element("button", { class: "first" }, text("city.save")),
      fresh ? null : element("button", { type: "button", class: "end", onclick: () => remove(id, site, told) }, text("city.delete"))),
    element("datalist", { id: "zones" }, Intl.supportedValuesOf("timeZone").map((zone) => element("option", { value: zone }))),
    element("datalist", { id: "devices" }, devices.map((one) => element("option", { value: one.device }))));
  form.addEventListener("input", () => edited(true));
  form.elements.time_zone.addEventListener("change", (event) => lines.querySelectorAll("[type=datetime-local]").forEach((input) => input.value === input.dataset.shown && show(input, event.target.value)));
  form.addEventListener("click", (event) => event.target.matches("button[type=button]:not(.end)") && edited(true)); // a line more or less
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const save = form.querySelector("button.first");
    save.disabled = true;
    told.className = "";
    told.textContent = text("city.saving");
    try {
      const name = fresh ? form.elements.id.value : id;
      const done = await send("PUT", `/api/v1/inventory/${encodeURIComponent(name)}`, JSON.stringify(content(form, lines)));
      told.className = "";
      site.road = form.elements.road.value.trim();
      if (!fresh) heading.textContent = document.title = site.road;
      edited(false);
      told.textContent = done.unheard.length ? text("city.saved_unheard", { lines: done.unheard.join(", ") }) : text("city.saved");
      if (fresh) go(`/inventory/${encodeURIComponent(name)}`);
    } catch (error) {
      told.className = "refused";
      told.textContent = error.message;
    }
    save.disabled = false;
  });
  // Who may only read sees what there is, without what would be refused.
  if (!writes) {
    for (const button of form.querySelectorAll("button")) button.remove();
    for (const input of form.elements) input.disabled = true;
    told.textContent = text("city.for_engineers");
  }
  view.append(heading, form);
}

// A point is degrees east and north; the server reads WKT too.
const courseText = (points) => (points ?? []).map((point) => point.join(" ")).join("; ");

const empty = () => ({ road: "", lat: null, lon: null, course: null, lanes: null, public: false, attachments: [],
  time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone, left_to_right: { name: "", bearing_deg: null }, right_to_left: { name: "", bearing_deg: null } });

// What no zone has for a name is refused when it is saved; until then it is UTC.
function placeOf(zone) {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zone || "UTC" }).resolvedOptions().timeZone;
  } catch {
    return "UTC";
  }
}

// Show the moment of a field in the time of a place; what somebody types is of that place too.
function show(input, zone) {
  if (input.dataset.at) input.value = wallOf(Date.parse(input.dataset.at) / 1000, placeOf(zone));
  input.dataset.shown = input.value;
}

function attachmentPart(one, zone) {
  const input = (name, key, more) => element("label", { class: "field" }, element("span", {}, text(key)), element("input", { name, ...more }));
  const check = (name, key) => element("label", { class: "check" }, element("input", { type: "checkbox", name, checked: one[name] }), text(key));
  const part = element("fieldset", { class: "card" }, element("div", { class: "fields" },
    input("device", "city.device", { value: one.device, list: "devices", required: true }), input("line", "city.line", { value: one.line, required: true }),
    input("begins", "city.begins", { type: "datetime-local", step: 1, "data-at": one.begins ?? "" }),
    input("ends", "city.ends", { type: "datetime-local", step: 1, "data-at": one.ends ?? "" }),
    input("reason", "city.reason", { value: one.reason, maxlength: 200 }), check("turned", "city.turned"), check("breaks", "city.breaks"),
    element("button", { type: "button", onclick: () => part.remove() }, text("city.remove"))));
  part.querySelectorAll("[type=datetime-local]").forEach((input) => show(input, zone));
  part.setAttribute("aria-label", [one.device, one.line].filter(Boolean).join("/") || text("city.add_line"));
  return part;
}

function content(form, lines) {
  const fields = form.elements;
  const figure = (name) => (fields[name].value === "" ? null : Number(fields[name].value));
  const way = (name) => ({ name: fields[`${name}.name`].value, bearing_deg: figure(`${name}.bearing`) });
  return { road: fields.road.value, time_zone: fields.time_zone.value, lat: figure("lat"), lon: figure("lon"), course: fields.course.value, lanes: figure("lanes"),
    public: fields.public.checked, left_to_right: way("left_to_right"), right_to_left: way("right_to_left"),
    attachments: [...lines.children].map((part) => {
      const of = (name) => part.querySelector(`[name=${name}]`);
      const time = (name) => timeOf(of(name), fields.time_zone.value);
      return { device: of("device").value, line: of("line").value, begins: time("begins"), ends: time("ends"), turned: of("turned").checked, breaks: of("breaks").checked, reason: of("reason").value };
    }) };
}

// What nobody has touched stays the same second, also in the hour that there is twice.
function timeOf(input, zone) {
  if (!input.value) return null;
  if (input.dataset.at && input.value === input.dataset.shown) return input.dataset.at;
  return `${new Date(momentOf(input.value, placeOf(zone)) * 1000).toISOString().slice(0, 19)}Z`;
}

async function remove(id, site, told) {
  if (!confirm(text("city.delete_sure", { road: site.road }))) return;
  try {
    await send("DELETE", `/api/v1/inventory/${encodeURIComponent(id)}`);
    edited(false);
    go("/inventory");
  } catch (error) {
    told.className = "refused";
    told.textContent = error.message;
  }
}
