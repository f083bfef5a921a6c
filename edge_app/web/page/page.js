// Start the page: texts, and the view that the address names.

import { addLogout } from "./logout.js";
import { loadMessages } from "./messages.js";
import { StatusView } from "./status.js";
import { LinesView } from "./lines.js";

const $ = (id) => document.getElementById(id);

function show(views) {
  const name = Object.hasOwn(views, location.hash.slice(1)) ? location.hash.slice(1) : "status";
  for (const [other, view] of Object.entries(views)) {
    $(`${other}-view`).hidden = other !== name;
    document.querySelector(`nav a[href="#${other}"]`).setAttribute("aria-current", other === name ? "page" : "false");
    if (other !== name) view.hide();
  }
  views[name].show();
}

async function start() {
  await loadMessages();
  addLogout(document.querySelector("header"));
  const status = new StatusView(), views = { status, lines: new LinesView(status) };
  window.addEventListener("hashchange", () => show(views));
  show(views);
}

history.replaceState(null, "", `/${location.hash}`); // keeps the token out of bookmarks and screenshots
start().catch((error) => { $("lost").textContent = error.message; $("lost").hidden = false; });
