// Choose the view by the address, and keep texts, navigation and language.
import { load, text } from "/page/texts.js";
import { may, showAccount, showLogin, whoAmI } from "/page/login.js";
import { showAdministration } from "/page/administration.js";
import { showHome } from "/page/home.js";
import { showStreet } from "/page/street.js";
import { showFleet } from "/page/fleet.js";
import { showGaps } from "/page/gaps.js";
import { showInventory, showSite } from "/page/inventory.js";

let leave = () => {};

function route(path) {
  if (!may("read")) return showLogin;
  const street = path.match(/^\/street\/([^/]+)$/);
  if (street) return (view) => showStreet(view, decodeURIComponent(street[1]));
  const site = path.match(/^\/inventory\/([^/]+)$/);
  if (site) return (view) => showSite(view, decodeURIComponent(site[1]));
  return { "/fleet": showFleet, "/gaps": showGaps, "/inventory": showInventory, "/administration": showAdministration, "/account": showAccount }[path] ?? showHome;
}

async function show() {
  leave();
  leave = () => {};
  const part = document.createElement("div"); // a view that is left before it is ready fills what nobody sees
  document.getElementById("view").replaceChildren(part);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === location.pathname) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const end = (await route(location.pathname)(part).catch(() => null)) ?? (() => {}); // `ask` has told why
  if (part.isConnected) leave = end;
  else end();
}

export function go(path) {
  history.pushState({}, "", path);
  show().then(() => document.getElementById("view").focus({ preventScroll: true }));
  scrollTo(0, 0);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-view]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
addEventListener("popstate", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show); // charts and map have taken its colours

async function speak(chosen) {
  const known = await load(chosen);
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", text(node.dataset.label));
  const select = document.getElementById("language");
  select.replaceChildren(...Object.entries(known.names).map(([code, name]) => new Option(name, code, false, code === known.language)));
}

document.getElementById("language").addEventListener("change", async (event) => {
  localStorage.setItem("language", event.target.value);
  await speak(event.target.value);
  await whoAmI();
  show();
});

await speak(localStorage.getItem("language") ?? "");
await whoAmI();
show();
