// Choose the view by the address, and keep texts, navigation and language.
import { element, load, text } from "/page/texts.js";
import { ask, isRefusal } from "/page/requests.js";
import { edited, isEdited, mayLeave } from "/page/edits.js";
import { may, showAccount, showLogin, whoAmI } from "/page/login.js";

let leave = () => {};
let shown = location.pathname;
const LISTENS_MS = 20000;

// Each view is loaded when it is first shown: who looks at the map needs no charts.
const VIEWS = {
  "/fleet": async () => (await import("/page/fleet.js")).showFleet,
  "/reviews": async () => (await import("/page/reviews.js")).showReviews,
  "/rollouts": async () => (await import("/page/rollouts.js")).showRollouts,
  "/gaps": async () => (await import("/page/gaps.js")).showGaps,
  "/inventory": async () => (await import("/page/inventory.js")).showInventory,
  "/administration": async () => (await import("/page/administration.js")).showAdministration,
  "/account": async () => showAccount,
};
const OF_ONE = [
  [/^\/street\/([^/]+)$/, async () => (await import("/page/street.js")).showStreet],
  [/^\/inventory\/([^/]+)$/, async () => (await import("/page/inventory.js")).showSite],
  [/^\/device\/([^/]+)\/([^/]+)$/, async () => (await import("/page/device_page.js")).showDevice],
  [/^\/device\/([^/]+)\/([^/]+)\/lines$/, async () => (await import("/page/lines.js")).showLines],
  [/^\/rollouts\/(\d+)$/, async () => (await import("/page/rollouts.js")).showRollout],
];

async function route(path) {
  for (const [pattern, load] of OF_ONE) {
    const [, ...names] = path.match(pattern) ?? [];
    if (!names.length) continue;
    const shown = await load();
    return (view) => shown(view, ...names.map(decodeURIComponent));
  }
  return (VIEWS[path] ?? (async () => (await import("/page/home.js")).showHome))();
}

async function show() {
  leave();
  leave = () => {};
  edited(false);
  shown = location.pathname;
  const part = document.createElement("div"); // a view that is left before it is ready fills what nobody sees
  document.getElementById("view").replaceChildren(part);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === location.pathname) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const end = (await (may("read") ? route(location.pathname) : Promise.resolve(showLogin)).then((shown) => shown(part)).catch((error) => refused(part, error))) ?? (() => {});
  if (part.isConnected) leave = end;
  else end();
}

// A view of what is not there, or not for whoever asks, says so as its heading; of all else `ask` has told why.
function refused(part, error) {
  if (!isRefusal(error)) return;
  document.title = error.message;
  document.getElementById("lost").hidden = true;
  part.replaceChildren(element("h1", {}, error.message), element("p", {}, element("a", { href: "/", "data-view": true }, text("city.map"))));
}

export function go(path) {
  if (!mayLeave()) return;
  history.pushState({}, "", path); // which may have a query
  show().then(() => document.getElementById("view").focus({ preventScroll: true }));
  scrollTo(0, 0);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-view]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
addEventListener("popstate", () => {
  if (mayLeave()) show();
  else history.pushState({}, "", shown);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => isEdited() || show()); // charts and map have taken its colours

async function speak(chosen) {
  const known = await load(chosen);
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", text(node.dataset.label));
  const select = document.getElementById("language");
  select.replaceChildren(...Object.entries(known.names).map(([code, name]) => new Option(name, code, false, code === known.language)));
}

document.getElementById("language").addEventListener("change", async (event) => {
  if (!mayLeave()) {
    event.target.value = document.documentElement.lang;
    return;
  }
  localStorage.setItem("language", event.target.value);
  await speak(event.target.value);
  await whoAmI();
  show();
});

// Without the broker no device can say that it is away: what is shown then is old, and looks well.
async function listen() {
  const answer = await fetch("/health").catch(() => null); // of a page that is gone `ask` tells
  if (answer?.ok) document.getElementById("unheard").hidden = (await answer.json()).broker !== "away";
}

// The view and the rights are on their way while the texts come.
const asked = ask("/api/v1/me");
for (const early of [asked, route(location.pathname)]) early.catch(() => {});
await speak(localStorage.getItem("language") ?? "");
await whoAmI(asked);
show();
listen();
setInterval(listen, LISTENS_MS);
