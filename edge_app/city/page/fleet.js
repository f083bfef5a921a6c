// All devices in a table that can be filtered.
import { askAll } from "/page/requests.js";
import { element, has, moment, number, restOf, searchField, stacked, text } from "/page/texts.js";

const flagText = (flag) => (has(`flag.${flag}`) ? text(`flag.${flag}`) : flag);
const MOST_ROWS = 200;

export async function showFleet(view) {
  document.title = text("city.fleet");
  const filter = searchField();
  const body = element("tbody");
  const rest = restOf(MOST_ROWS);
  const heads = ["city.device", "city.device_state", "city.heard", "city.unsent", "city.temperature", "city.frames", "city.version", "city.problem"];
  view.append(element("h1", {}, text("city.fleet")), element("section", { class: "card" }, filter, element("div", { class: "scroll", tabindex: "0" },
    element("table", { class: "stack" }, element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", class: head === "city.problem" ? "text" : null }, text(head))))), body)), rest.line));
  let devices = [];
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const shown = devices.filter((device) => `${device.device} ${device.state} ${device.problem} ${device.version}`.toLowerCase().includes(wanted));
    body.replaceChildren(...shown.slice(0, MOST_ROWS).map((device) => stacked(heads, [
      element("th", { scope: "row" }, element("a", { href: `/device/${device.device}`, "data-view": true }, device.device)),
      element("td", {}, element("span", { class: `state ${device.state === "online" ? "counting" : "offline"}` }, text(`city.device.${device.state}`))),
      element("td", {}, moment(device.heard)),
      element("td", {}, number(device.unsent)), element("td", {}, device.temperature_c === null ? "–" : `${number(device.temperature_c)} °C`),
      element("td", {}, number(device.frames_per_s, 1)), element("td", {}, device.version),
      element("td", { class: "text" }, [device.problem, ...device.quality.map(flagText)].filter(Boolean).join("; ") || "–")])));
    rest.told(shown.length);
    if (!shown.length) body.append(element("tr", {}, element("td", { colspan: heads.length, class: "text" }, text(devices.length ? "city.nothing_found" : "city.no_devices"))));
  };
  const refresh = async () => { devices = await askAll("/api/v1/devices", "devices"); draw(); };
  filter.addEventListener("input", draw);
  await refresh();
  const timer = setInterval(() => refresh().catch(() => {}), 10000);
  return () => clearInterval(timer);
}
