// Users, tokens and the audit.
import { ask, send } from "/page/requests.js";
import { may } from "/page/login.js";
import { named } from "/page/refusals.js";
import { element, has, moment, stacked, text, whoText } from "/page/texts.js";

const ROLES = ["viewer", "engineer", "administrator"];
const SCOPES = ["read", "write", "admin"];

export async function showAdministration(view) {
  document.title = text("city.administration");
  if (!may("admin")) {
    view.append(element("h1", {}, text("city.administration")), element("p", { class: "muted" }, text("city.for_administrators")));
    return;
  }
  const body = element("div");
  const told = element("p", { role: "status" });
  const refresh = async () => {
    const [{ users }, { tokens }, audit] = await Promise.all([ask("/api/v1/users"), ask("/api/v1/tokens"), ask("/api/v1/audit")]);
    body.replaceChildren(userCard(users, act), tokenCard(tokens, act), auditCard(audit));
  };
  // Carry a change out and show what became of it; the first user has to log in at once.
  const act = async (change) => {
    try {
      const done = await change();
      told.className = "";
      told.textContent = done?.secret ? text("city.secret", { secret: done.secret }) : text("city.saved");
      await refresh().catch(() => location.reload());
    } catch (error) {
      told.className = "refused";
      told.textContent = error.message;
    }
    told.scrollIntoView({ block: "nearest" });
  };
  view.append(element("h1", {}, text("city.administration")), told, body);
  await refresh();
}

function userCard(users, act) {
  const path = (user) => `/api/v1/users/${encodeURIComponent(user.name)}`;
  const rows = users.map((user) => [user.name,
    choice("role", ROLES, user.role, { "aria-label": `${text("city.role")}: ${user.name}`, onchange: (event) => act(() => send("PUT", path(user), JSON.stringify({ role: event.target.value }))) }),
    element("form", { class: "row", onsubmit: (event) => { event.preventDefault(); act(() => send("PUT", path(user), JSON.stringify({ password: event.target.elements.password.value }))); } },
      element("input", { name: "password", type: "password", autocomplete: "new-password", required: true, minlength: 10, maxlength: 200, "aria-label": `${text("city.new_password")}: ${user.name}`, size: 14 }), element("button", {}, text("city.save"))),
    remover(user.name, () => act(() => send("DELETE", path(user))))]);
  const add = element("form", { class: "row", onsubmit: (event) => {
    event.preventDefault();
    const { name, role, password } = event.target.elements;
    act(() => send("POST", "/api/v1/users", JSON.stringify({ name: name.value, role: role.value, password: password.value })));
  } }, nameField("city.user"), choice("role", ROLES, users.length ? "viewer" : "administrator", { "aria-label": text("city.role") }),
  element("input", { name: "password", type: "password", autocomplete: "new-password", required: true, minlength: 10, maxlength: 200, "aria-label": text("city.password"), placeholder: text("city.password"), size: 14 }),
  element("button", { class: "first" }, text("city.add_user")));
  return element("section", { class: "card" }, element("h2", {}, text("city.users")),
    users.length ? table(["city.user", "city.role", "city.new_password", "city.remove"], rows) : element("p", { class: "muted" }, text("city.first_user")), add);
}

function tokenCard(tokens, act) {
  const rows = tokens.map((token) => [token.name, text(`city.scope.${token.scope}`), token.ends ? moment(token.ends) : "–",
    remover(token.name, () => act(() => send("DELETE", `/api/v1/tokens/${encodeURIComponent(token.name)}`)))]);
  const add = element("form", { class: "row", onsubmit: (event) => {
    event.preventDefault();
    const { name, scope } = event.target.elements;
    act(() => send("POST", "/api/v1/tokens", JSON.stringify({ name: name.value, scope: scope.value })));
  } }, nameField("city.name"), choice("scope", SCOPES, "read", { "aria-label": text("city.scope") }), element("button", { class: "first" }, text("city.add_token")));
  return element("section", { class: "card" }, element("h2", {}, text("city.tokens")),
    tokens.length ? table(["city.name", "city.scope", "city.token_ends", "city.remove"], rows) : null, add);
}

// The newest changes, and those before them on demand. newest: as the API tells them. address: of the audit, to which a
// parameter can be added.
export function auditCard(newest, address = "/api/v1/audit?") {
  const heads = ["city.when", "city.who", "city.what"];
  const body = element("tbody");
  const older = element("button", { type: "button", onclick: async () => add(await ask(`${address}after=${next}`)) }, text("city.older"));
  let next = null;
  const add = (found) => {
    body.append(...found.entries.map((one) => stacked(heads, [moment(one.at), whoText(one.who), changed(one)].map((cell) => element("td", { class: "text" }, cell)))));
    next = found.next;
    older.hidden = !next;
  };
  add(newest);
  return element("section", { class: "card" }, element("h2", {}, text("city.audit")), newest.entries.length
    ? [element("table", { class: "stack" }, element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", class: "text" }, text(head))))), body), older]
    : element("p", { class: "muted" }, text("city.nothing_changed")));
}

// What was done, and on demand from what to what.
function changed({ action, subject, change }) {
  const rows = Object.entries(change).flatMap(([key, [before, after]]) => differences(named(key), before, after));
  const done = `${has(`city.done.${action}`) ? text(`city.done.${action}`) : action}: ${subject}`;
  return rows.length ? element("details", {}, element("summary", {}, done), element("ul", { class: "changes" }, rows.map((row) => element("li", {}, row)))) : element("span", {}, done);
}

// A line for each value that differs; of parts that have parts, for each of those.
function differences(name, before, after) {
  const [one, other] = [before, after].map((value) => (value !== null && typeof value === "object" ? value : null));
  if (!one && !other) return before === after ? [] : [`${name}: ${plain(before)} → ${plain(after)}`];
  const keys = new Set([...Object.keys(one ?? {}), ...Object.keys(other ?? {})]);
  return [...keys].flatMap((key) => differences(`${name} ${named(key)}`, one?.[key] ?? null, other?.[key] ?? null));
}

const plain = (value) => (value === null || value === "" ? "–" : value === true ? "✓" : value === false ? "✕" : String(value));

function nameField(key) {
  return element("input", { name: "name", required: true, pattern: "[a-z0-9][a-z0-9._\\-]*", maxlength: 64, autocomplete: "off", autocapitalize: "none", "aria-label": text(key), placeholder: text(key), size: 14 });
}

function choice(name, values, chosen, more) {
  return element("select", { name, ...more }, values.map((value) => element("option", { value, selected: value === chosen }, text(`city.${name}.${value}`))));
}

function remover(name, remove) {
  return element("button", { type: "button", "aria-label": `${text("city.remove")}: ${name}`, onclick: () => confirm(text("city.remove_sure", { name })) && remove() }, "✕");
}

function table(heads, rows) {
  return element("div", { class: "scroll", tabindex: "0" }, element("table", {},
    element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", class: "text" }, text(head))))),
    element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell) => element("td", { class: "text" }, cell)))))));
}
