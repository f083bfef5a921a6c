// All devices in a table that the server filters, in parts: who runs what, and who needs a look.
import { ask } from "/page/requests.js";
import { element, has, moment, number, searchField, stacked, text } from "/page/texts.js";
import { withStyle } from "/page/styles.js";

const PART = 100;
const MOST = 10000; // the server answers no longer part
const EVERY_MS = 10000;
const TYPED_MS = 250;
const HEADS = ["city.device", "city.device_state", "city.heard", "city.version", "fleet.model", "fleet.office", "fleet.certificate", "city.problem", "city.unsent", "city.temperature", "city.frames"];
const TEXTS = ["city.device_state", "city.heard", "city.version", "fleet.model", "fleet.office", "fleet.certificate", "city.problem"];
const CHOICES = { state: (value) => stateText(value), version: (value) => value || "–", model: (value, name) => modelText(value, name), office: (value) => text(`fleet.office.${value}`) };

const ENDS = [0, 30, 90, 365]; // days within which a certificate ends
const SOON_DAYS = 30; // from which on devices warn

export const flagText = (flag) => (has(`flag.${flag}`) ? text(`flag.${flag}`) : flag);
export const driftText = (kind) => (has(`fleet.drift.${kind}`) ? text(`fleet.drift.${kind}`) : kind);
export const stateText = (state) => (has(`city.device.${state}`) ? text(`city.device.${state}`) : state);
// A detector by its name and the begin of its hash: two files may have one name.
export const modelText = (hash, name) => [name, hash && (name ? `(${hash.slice(0, 8)})` : hash.slice(0, 12))].filter(Boolean).join(" ") || "–";
export const stateMark = (state) => element("span", { class: `state ${state === "online" ? "counting" : "offline"}` }, stateText(state));
export const troubles = (device) => [device.problem, ...device.drift.map(driftText), ...device.quality.map(flagText)].filter(Boolean).join("; ");

// The end of a device's certificate, marked where it is near or over.
export function endText(ends) {
  if (!ends) return "–";
  const left = (Date.parse(ends) - Date.now()) / 86400000;
  const day = moment(ends, undefined, { dateStyle: "medium" });
  return left > SOON_DAYS ? day : element("span", { class: `state ${left > 0 ? "late" : "offline"}` }, left > 0 ? day : text("fleet.certificate_ended", { day }));
}

export async function showFleet(view) {
  await withStyle("/page/fleet.css");
  document.title = text("city.fleet");
  const asked = new URLSearchParams(location.search);
  const search = searchField({ value: asked.get("search") ?? "" });
  const selects = Object.fromEntries(Object.keys(CHOICES).map((name) => [name, element("select", { "aria-label": text(`fleet.by.${name}`) })]));
  const ends = element("select", { "aria-label": text("fleet.by.certificate") }, new Option(text("fleet.by.certificate"), ""),
    ...ENDS.map((days) => new Option(days ? text("fleet.ends_within", { n: number(days) }) : text("fleet.has_ended"), days, false, asked.get("certificate_days") === String(days))));
  const order = element("select", { "aria-label": text("fleet.sort") }, ["device", "certificate"].map((one) => new Option(text(`fleet.sort.${one}`), one, false, asked.get("sort") === one)));
  const trouble = element("input", { type: "checkbox", checked: asked.has("trouble") });
  const told = element("p", { class: "muted", role: "status" });
  const body = element("tbody");
  const more = element("button", { type: "button" }, text("fleet.more"));
  view.append(element("h1", {}, text("city.fleet")), element("section", { class: "card" },
    element("div", { class: "row filters" }, search, ...Object.values(selects), ends, order, element("label", { class: "check" }, trouble, text("fleet.trouble"))), told,
    element("div", { class: "scroll", tabindex: "0" }, element("table", { class: "stack dense" }, element("thead", {}, element("tr", {}, HEADS.map((head) =>
      element("th", { scope: "col", class: TEXTS.includes(head) ? "text" : null }, text(head))))), body)), more));
  let many = PART;
  let newest = 0;

  const offer = (fleet) => {
    const groups = { state: fleet.states, version: fleet.versions, model: fleet.models, office: fleet.office };
    for (const [name, select] of Object.entries(selects)) {
      const chosen = select.options.length ? select.value : asked.get(name) ?? "";
      const values = groups[name].filter((one) => one.value);
      if (chosen && !values.some((one) => one.value === chosen)) values.push({ value: chosen, devices: 0 }); // what was chosen stays, also without one left
      select.replaceChildren(new Option(text(`fleet.by.${name}`), ""), ...values.map((one) => new Option(`${CHOICES[name](one.value, one.name)} · ${number(one.devices)}`, one.value, false, one.value === chosen)));
    }
  };
  const wanted = () => {
    const parts = new URLSearchParams();
    if (search.value.trim()) parts.set("search", search.value.trim());
    for (const [name, select] of Object.entries(selects)) if (select.value) parts.set(name, select.value);
    if (ends.value) parts.set("certificate_days", ends.value);
    if (trouble.checked) parts.set("trouble", "true");
    return parts;
  };
  const sorted = () => {
    const parts = wanted();
    if (order.value !== "device") parts.set("sort", order.value);
    return parts;
  };
  const draw = ({ devices, found }) => {
    body.replaceChildren(...devices.map(row));
    told.textContent = text("fleet.found", { n: number(found) });
    more.hidden = found <= devices.length || many >= MOST;
    if (!devices.length) body.append(element("tr", {}, element("td", { colspan: HEADS.length, class: "text" }, text([...wanted()].length ? "city.nothing_found" : "city.no_devices"))));
  };
  const refresh = async () => {
    const mine = ++newest;
    const parts = sorted();
    parts.set("limit", many);
    const answer = await ask(`/api/v1/devices?${parts}`);
    if (mine === newest) draw(answer);
  };
  const chosen = () => {
    many = PART;
    const query = sorted().toString();
    history.replaceState({}, "", query ? `/fleet?${query}` : "/fleet"); // so that the way back leads to the same devices
    refresh().catch(() => {});
  };
  let typing;
  search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(chosen, TYPED_MS); });
  for (const choice of [...Object.values(selects), ends, order, trouble]) choice.addEventListener("change", chosen);
  more.addEventListener("click", () => { many = Math.min(MOST, many + PART); refresh().catch(() => {}); });
  offer(await ask("/api/v1/fleet"));
  await refresh();
  const timer = setInterval(() => Promise.all([ask("/api/v1/fleet").then(offer), refresh()]).catch(() => {}), EVERY_MS);
  return () => { clearInterval(timer); clearTimeout(typing); };
}

function row(device) {
  const state = text(`fleet.office.${device.office}`);
  const office = device.office === "unknown" ? "–" : device.revision ? text("fleet.office_revision", { state, n: number(device.revision) }) : state;
  return stacked(HEADS, [
    element("th", { scope: "row" }, element("a", { href: `/device/${device.device}`, "data-view": true }, device.device)),
    element("td", { class: "text whole" }, stateMark(device.state)), element("td", { class: "text heard" }, moment(device.heard)),
    element("td", { class: "text" }, device.version || "–"), element("td", { class: "text model" }, modelText(device.model, device.model_name)),
    element("td", { class: "text office" }, ["refused", "rolled_back"].includes(device.office) ? element("span", { class: "state late" }, office) : office),
    element("td", { class: "text ends" }, endText(device.certificate_ends)), element("td", { class: "text trouble" }, troubles(device) || "–"),
    element("td", {}, number(device.unsent)), element("td", {}, device.temperature_c === null ? "–" : `${number(device.temperature_c)} °C`), element("td", {}, number(device.frames_per_s, 1))]);
}
