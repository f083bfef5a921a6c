// Texts of the page in the language of whoever reads it, and elements made with them.
let known = { language: "en", names: {}, texts: {} };

let newest = 0;

export async function load(language) {
  const mine = ++newest;
  const got = await (await fetch(`/messages.json?language=${encodeURIComponent(language)}`)).json();
  if (mine === newest) known = got; // of two that were chosen quickly the later one is shown, whichever comes last
  document.documentElement.lang = known.language;
  return known;
}

// The language of the page as the browser's owner writes it: who reads English in Europe wants no American dates.
export const locale = () => navigator.languages.find((one) => one.split("-")[0] === known.language && one.includes("-")) ?? USUAL[known.language] ?? known.language;

const USUAL = { en: "en-GB" }; // where the browser names no country

export const has = (key) => key in known.texts;

export function text(key, values = {}) {
  return (known.texts[key] ?? key).replace(/{(\w+)}/g, (whole, name) => values[name] ?? whole);
}

export function number(value, digits = 0) {
  return value === null || value === undefined ? "–" : value.toLocaleString(locale(), { maximumFractionDigits: digits });
}

// Without a time zone it is that of the browser, which is told.
export function moment(value, timeZone, options = timeZone ? { dateStyle: "medium", timeStyle: "short" } : ZONED) {
  return new Intl.DateTimeFormat(locale(), { timeZone, ...options }).format(new Date(value));
}

const ZONED = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" };

// element("p", { class: "muted" }, "text", child): never HTML, so nothing that a device sends becomes code.
export function element(name, attributes = {}, ...children) {
  const made = name === "svg" || SVG.has(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// Who has done something: a person or token by name, a place or program in words.
export function whoText(who) {
  const [, kind, name] = who.match(/^(user|token) (.+)$/) ?? who.match(/^(command line) \((.+)\)$/) ?? [null, who, ""];
  const key = `who.${kind.replaceAll(" ", "_")}`;
  return has(key) ? text(key, { name }) : who;
}

export const searchField = (attributes = {}) => element("input", { type: "search", "aria-label": text("city.search"), placeholder: text("city.search"), ...attributes });

// A line below a list that shows at most so many: told how many were found, it says how many more there are.
export function restOf(most) {
  const line = element("p", { class: "muted" });
  return { line, told(many) {
    line.hidden = many <= most;
    line.textContent = text("city.more", { n: number(many - most) });
  } };
}

// A row of a table that stands as a list of its own on a phone, where each cell tells the head of its column.
export function stacked(heads, cells) {
  cells.forEach((cell, at) => cell.setAttribute("data-head", text(heads[at])));
  return element("tr", {}, cells);
}

const SVG = new Set(["rect", "text", "title", "defs", "pattern", "path", "g", "circle"]);
