// One device: how it is and was, what the office sets on it, what can be asked of it, and what has become of that.
import { auditCard } from "/page/administration.js";
import { showFigures } from "/page/figures.js";
import { driftText, endText, flagText, modelText, stateMark } from "/page/fleet.js";
import { may } from "/page/login.js";
import { drawPicture, followOrders, isOpen, newestPicture, officeNote, orderTable, place } from "/page/orders.js";
import { ask } from "/page/requests.js";
import { withStyle } from "/page/styles.js";
import { element, has, moment, number, stacked, text, whoText } from "/page/texts.js";

const EVERY_MS = 15000;
const HOURS = 24;

export async function showDevice(view, site, device) {
  await withStyle("/page/fleet.css");
  const name = `${site}/${device}`;
  const first = await ask(`/api/v1/devices/${name}`); // of one that was never heard nothing is begun
  document.title = name;
  const admin = may("admin");
  const top = element("div");
  const history = element("div");
  const drawn = element("div");
  const parts = { office: element("div"), audit: element("div"), asking: admin ? askingCard(name) : null };
  view.append(element("p", {}, element("a", { href: "/fleet", "data-view": true }, text("fleet.back"))), element("h1", {}, name), top,
    ...(admin ? [parts.asking.card, parts.office] : []), drawn, history, parts.audit);
  const leave = showFigures(drawn, name);
  const refresh = async (known) => {
    const whole = known ?? await ask(`/api/v1/devices/${name}`);
    top.replaceChildren(factsCard(whole), daysCard(whole), linesCard(whole, name, admin));
    const open = history.querySelectorAll("details[open]").length; // a text that somebody reads stays
    if (!open) history.replaceChildren(configsCard(whole, name));
  };
  const ofOffice = async () => parts.office.replaceChildren(layerCard(await ask(`/api/v1/devices/${name}/office`)));
  await refresh(first);
  if (!admin) return endOf(setInterval(() => refresh().catch(() => {}), EVERY_MS), leave);
  const subject = `subject=${encodeURIComponent(name)}`;
  const changes = async () => parts.audit.replaceChildren(auditCard(await ask(`/api/v1/audit?${subject}`), `/api/v1/audit?${subject}&`));
  await Promise.all([ofOffice(), changes(), parts.asking.follow.first]);
  parts.asking.settled = () => Promise.all([ofOffice(), refresh(), changes()]).catch(() => {});
  const timer = setInterval(() => Promise.all([refresh(), ofOffice()]).catch(() => {}), EVERY_MS);
  return () => { clearInterval(timer); parts.asking.follow.end(); leave(); };
}

const endOf = (timer, leave) => () => { clearInterval(timer); leave(); };

function facts(rows) {
  return element("dl", { class: "facts" }, rows.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([key, value]) => element("div", {}, element("dt", {}, text(key)), element("dd", {}, value))));
}

function factsCard({ device, health }) {
  const source = health.source ?? {};
  const megabytes = (value) => (value === null || value === undefined ? "" : text("fleet.megabytes", { n: number(value) }));
  const told = [health.problem, source.detail, ...(health.limits ?? [])].filter(Boolean);
  return element("section", { class: "card" }, element("h2", {}, text("fleet.now")),
    told.length ? element("ul", { class: "note" }, [...new Set(told)].map((one) => element("li", {}, one))) : null,
    facts([
      ["city.device_state", stateMark(device.state)], ["city.heard", moment(device.heard)], ["city.version", device.version],
      ["fleet.model", modelText(device.model, device.model_name)], ["fleet.config", device.config], ["fleet.contract", device.contract],
      ["fleet.drift", device.drift.map(driftText).join("; ")], ["fleet.flags", device.quality.map(flagText).join("; ")],
      ["fleet.camera", source.state && (has(`source.${source.state}`) ? text(`source.${source.state}`) : source.state)],
      ["city.frames", number(device.frames_per_s, 1)], ["fleet.still", share(health.still_share)],
      ["fleet.inference", health.inference_ms ? text("fleet.milliseconds", { p50: number(health.inference_ms.p50, 1), p95: number(health.inference_ms.p95, 1) }) : ""],
      ["city.unsent", number(device.unsent)], ["fleet.lost", device.lost ? number(device.lost) : ""],
      ["city.temperature", device.temperature_c === null ? "" : `${number(device.temperature_c)} °C`],
      ["fleet.memory", megabytes(health.memory_available_mb)], ["fleet.disk", megabytes(health.disk_free_mb)],
      ["fleet.uptime", health.uptime_s ? text("fleet.hours", { n: number(health.uptime_s / 3600, 1) }) : ""],
      ["fleet.certificate", device.certificate_ends ? endText(device.certificate_ends) : ""],
      ["fleet.harvest_until", health.harvest_until ? moment(health.harvest_until) : ""],
      ["fleet.shadow", health.shadow ? text("fleet.shadow_told", { model: health.shadow.model, n: number(health.shadow.compared) }) : ""],
    ]));
}

const share = (value) => (value === null || value === undefined ? "" : `${number(value * 100)} %`);

function daysCard({ days, time_zone: zone }) {
  const heads = ["city.day", "city.covered", "fleet.flagged", "fleet.flags"];
  const bar = (value) => element("span", { class: "share", style: `--share: ${Math.round((value ?? 0) * 100)}%` }, value === null ? "–" : `${number(value * 100)} %`);
  return element("section", { class: "card" }, element("h2", {}, text("fleet.days")), element("p", { class: "muted" }, text("fleet.days_told", { zone })),
    element("table", { class: "stack" }, element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", class: "text" }, text(head))))),
      element("tbody", {}, [...days].reverse().map((day) => stacked(heads, [moment(day.start, zone, { weekday: "short", day: "numeric", month: "short" }), bar(day.seen), share(day.flagged) || "–",
        Object.entries(day.flags).sort((one, other) => other[1] - one[1]).map(([flag, seconds]) => text("fleet.flag_minutes", { flag: flagText(flag), n: number(seconds / 60) })).join("; ") || "–"]
        .map((cell) => element("td", { class: "text" }, cell)))))));
}

function linesCard({ lines }, name, admin) {
  const ways = (line) => ["left_to_right", "right_to_left"].map((way) => line[way]).filter(Boolean).join(" / ");
  return element("section", { class: "card" }, element("h2", {}, text("fleet.lines")), lines.length
    ? element("ul", { class: "changes" }, lines.map((line) => element("li", {}, [line.id, line.road, ways(line)].filter(Boolean).join(" · "))))
    : element("p", { class: "muted" }, text("fleet.no_lines")),
  admin ? element("a", { class: "button", href: `/device/${name}/lines`, "data-view": true }, text("fleet.draw")) : null);
}

// What the office sets, what the device says of it, and who else sets the same.
function layerCard({ state, desired, origin, reported }) {
  const values = Object.entries(desired?.set ?? {}).flatMap(([table, keys]) => (keys && typeof keys === "object" && !Array.isArray(keys)
    ? Object.entries(keys).map(([key, value]) => [`${table}.${key}`, value]) : [[table, keys]]));
  const rows = [...values.map(([key, value]) => `${key} = ${key === "lines" && Array.isArray(value) ? value.map((line) => line.id).join(", ") : JSON.stringify(value)}`), ...(desired?.unset ?? []).map((key) => text("fleet.key_default", { key }))];
  const list = (items) => element("ul", { class: "changes" }, items.map((item) => element("li", {}, item)));
  const layer = (key) => (has(`fleet.layer_name.${key}`) ? text(`fleet.layer_name.${key}`) : key);
  const conflicts = (reported?.conflicts ?? []).map((one) => [text("fleet.conflict", { key: one.key, used: layer(one.used), ignored: layer(one.ignored) }), one.ignored_is_newer ? ` (${text("fleet.newer")})` : ""].join(""));
  const layers = (reported?.layers ?? []).map((one) => text("fleet.layer", { name: layer(one.name), revision: one.revision, author: whoText(one.author ?? "") || "–", at: moment(one.at) }));
  return element("section", { class: "card" }, element("h2", {}, text("fleet.office_sets")),
    element("p", {}, element("span", { class: `state ${["refused", "rolled_back"].includes(state) ? "offline" : state === "trying" ? "late" : state === "applied" ? "counting" : "unknown"}` }, text(`fleet.office.${state}`))),
    reported?.problems?.length ? [element("p", {}, text("fleet.says")), list(reported.problems)] : null,
    origin ? element("p", { class: ["foreign", "older"].includes(origin) ? "note" : "muted" }, text(`fleet.origin.${origin}`)) : null,
    desired ? element("p", { class: "muted" }, text("fleet.set_by", { n: number(desired.revision), who: whoText(desired.author ?? "") || "–", at: desired.at ? moment(desired.at) : "–" })) : null,
    rows.length ? list(rows) : element("p", { class: "muted" }, text("fleet.sets_nothing")),
    conflicts.length ? [element("h3", {}, text("fleet.conflicts")), list(conflicts)] : null,
    layers.length ? [element("h3", {}, text("fleet.layers")), list(layers)] : null);
}

// What can be asked of the device, the picture that it has sent, and the newest orders.
function askingCard(name) {
  const told = element("p", { role: "status" });
  const note = element("div");
  const table = element("div");
  const picture = element("canvas", { class: "snapshot", role: "img", "aria-label": text("fleet.picture"), hidden: true });
  const taken = element("p", { class: "muted" });
  const keys = element("datalist", { id: "office-keys" });
  const made = { settled: () => {} };
  let shown = null;
  let open = new Set();
  made.follow = followOrders(name, async (orders, office) => {
    note.replaceChildren(...[officeNote(office)].filter(Boolean));
    if (!keys.children.length) keys.replaceChildren(...office.keys.filter((key) => key !== "lines").map((key) => element("option", { value: key })));
    table.replaceChildren(orderTable(orders));
    const newest = newestPicture(orders);
    if (newest && newest.id !== shown && await drawPicture(picture, newest)) {
      shown = newest.id;
      picture.hidden = false;
      taken.textContent = text("fleet.taken", { at: moment(newest.changed) });
    }
    const now = new Set(orders.filter(isOpen).map((order) => order.id));
    if ([...open].some((id) => !now.has(id))) made.settled();
    open = now;
  });
  const give = async (wish) => {
    await place({ device: name, ...wish }, told);
    await made.follow.look();
  };
  const button = (key, act, more = {}) => element("button", { type: "button", onclick: act, ...more }, text(key));
  const hours = element("input", { type: "number", min: 1, max: 168, value: HOURS, required: true, "aria-label": text("fleet.harvest_hours") });
  made.card = element("section", { class: "card" }, element("h2", {}, text("fleet.ask")), note,
    element("div", { class: "row" }, button("fleet.order.snapshot", () => give({ kind: "snapshot", width: 1280, lines: true })),
      button("fleet.order.restart", () => confirm(text("fleet.restart_sure", { name })) && give({ kind: "restart" })),
      element("span", { class: "row" }, hours, button("fleet.harvest_begin", () => hours.reportValidity() && give({ kind: "harvest", enabled: true, hours: Number(hours.value) })),
        button("fleet.harvest_end", () => give({ kind: "harvest", enabled: false })))),
    keyForm(give), keys, told, picture, taken, element("h3", {}, text("fleet.orders")), table);
  return made;
}

// A key of the configuration, as its file has it: a number, true or false, or a text.
function keyForm(give) {
  const ways = ["set", "unset", "left"];
  const key = element("input", { list: "office-keys", required: true, pattern: "[a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*)?", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const way = element("select", {}, ways.map((one) => element("option", { value: one }, text(`fleet.way.${one}`))));
  const value = element("input", { autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true });
  const field = (label, input) => element("label", { class: "field" }, element("span", {}, text(label)), input);
  const valueField = field("fleet.value", value);
  way.addEventListener("change", () => { valueField.hidden = way.value !== "set"; value.required = way.value === "set"; });
  const form = element("form", { class: "fields key-form" }, field("fleet.key", key), field("fleet.what_to_do", way), valueField, element("button", {}, text("fleet.send_key")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = key.value.trim();
    await give({ kind: "config", ...(way.value === "set" ? { values: { [name]: valueOf(value.value.trim()) } } : { [way.value]: [name] }) });
  });
  return form;
}

function valueOf(words) {
  try {
    const read = JSON.parse(words);
    return read === null ? words : read;
  } catch {
    return words;
  }
}

// Under what it counted, with what was different before, and the text of each on demand.
function configsCard({ configs }, name) {
  return element("section", { class: "card" }, element("h2", {}, text("fleet.configs")), configs.length
    ? element("ul", { class: "plain" }, configs.map((use) => element("li", {}, configPart(use, name))))
    : element("p", { class: "muted" }, text("fleet.no_configs")));
}

function configPart(use, name) {
  const what = [
    use.model_before && use.model_before !== use.model ? text("fleet.other_model", { model: use.model, before: use.model_before }) : "",
    use.drawn.length ? text("fleet.lines_drawn", { names: use.drawn.join(", ") }) : "", use.keys.join(", ")].filter(Boolean).join("; ");
  const place = element("pre", { tabindex: "0" });
  const part = element("details", {}, element("summary", {}, `${moment(use.at)}: ${use.config}${what ? ` (${what})` : ""}`), place);
  part.addEventListener("toggle", async () => {
    if (!part.open || place.textContent) return;
    const answer = await fetch(`/api/v1/devices/${name}/configs/${use.config}`);
    place.textContent = answer.ok ? JSON.stringify(await answer.json(), null, 2) : text("refused.no_config");
  });
  return part;
}
