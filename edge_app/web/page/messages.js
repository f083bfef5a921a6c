// Texts of the page in the language of the browser, or in the one that was chosen.

let texts = {};
let chosen = "en";

// Put the texts into the page, and all languages into its choice.
export async function loadMessages() {
  const answer = await (await fetch("messages.json")).json();
  ({ texts } = answer);
  chosen = answer.language;
  document.documentElement.lang = chosen;
  for (const [attribute, set] of [
    ["data-t", (node, text) => { node.textContent = text; }],
    ["data-t-label", (node, text) => node.setAttribute("aria-label", text)],
    ["data-t-title", (node, text) => { node.title = text; }],
    ["data-t-alt", (node, text) => { node.alt = text; }],
  ]) for (const node of document.querySelectorAll(`[${attribute}]`)) set(node, t(node.getAttribute(attribute)));
  document.title = t("page.title");
  offerLanguages(answer.names);
}

function offerLanguages(names) {
  const choice = document.getElementById("language");
  choice.append(...Object.entries(names).map(([value, name]) => Object.assign(new Option(name, value), { lang: value })));
  choice.value = chosen;
  choice.onchange = () => {
    document.cookie = `language=${choice.value}; SameSite=Strict; Path=/; Max-Age=31536000`;
    location.reload();
  };
}

// The text of a key, with {name} replaced by values.
export function t(key, values = {}) {
  return (texts[key] || key).replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

export function known(key) { return key in texts; }

export function number(value, digits = 0) {
  return new Intl.NumberFormat(chosen, { maximumFractionDigits: digits }).format(value);
}

// A day of the week in at most four letters: "Mon", and "T2" for "Thứ 2".
export function weekday(at, zone) {
  const short = clock(at, zone, { weekday: "short" });
  return short.length <= 4 ? short : clock(at, zone, { weekday: "narrow" });
}

export function clock(at, zone, options = { hour: "2-digit", minute: "2-digit" }) {
  return new Intl.DateTimeFormat(chosen, { timeZone: zone, hourCycle: "h23", ...options }).format(new Date(at));
}
