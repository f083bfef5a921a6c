// The page at /docs: shows the OpenAPI document of the service and runs its examples. Plain JavaScript, no build step.
"use strict";

const byId = (id) => document.getElementById(id);
const TYPES = { number: "number", integer: "number", boolean: "checkbox" };

function made(tag, properties = {}, ...children) {
  const one = Object.assign(document.createElement(tag), properties);
  one.append(...children);
  return one;
}

function resolved(schema, components) {
  const name = schema?.$ref?.split("/").pop();
  return name ? components[name] : schema ?? {};
}

// --- a call

const firstExample = (parameter) => [parameter.schema.examples?.[0] ?? parameter.schema.default ?? ""].flat()[0];

function fieldFor(call, parameter) {
  const schema = parameter.schema;
  const id = `${call.operationId}-${parameter.name}`;
  const field = schema.enum
    ? made("select", { id }, ...schema.enum.map((value) => made("option", { textContent: value })))
    : made("input", { id, type: TYPES[schema.type] ?? "text", step: "any" });
  if (field.type === "checkbox") field.checked = firstExample(parameter) === true;
  else field.value = firstExample(parameter);
  if (parameter.in === "path") field.dataset.path = parameter.name;
  const value = () => (field.type === "checkbox" ? String(field.checked) : field.value);
  const label = made("label", { htmlFor: id }, made("code", { textContent: parameter.name }));
  const row = made("p", { className: "field" }, label, " ", field);
  if (parameter.description) row.append(" ", made("span", { className: "muted", textContent: parameter.description }));
  return { parameter, value, row };
}

function bodyOf(call) {
  for (const [kind, content] of Object.entries(call.requestBody?.content ?? {})) {
    const example = Object.values(content.examples ?? {})[0];
    if (example) return { kind, url: example.externalValue.replace(/^\//, ""), summary: example.summary };
  }
  return null;
}

function addressOf(path, fields) {
  const query = new URLSearchParams();
  for (const { parameter, value } of fields) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value()));
    else if (value() !== "") query.append(parameter.name, value());
  }
  return query.size ? `${path}?${query}` : path;
}

function curlOf(method, address, body) {
  const parts = ["curl"];
  if (byId("token").value) parts.push('--header "Authorization: Bearer $TOKEN"');
  if (body) {
    const file = body.url.split("/").pop();
    parts.push(body.kind.startsWith("multipart") ? "--form picture=@street.jpg" : `--data-binary @${file}`);
  }
  if (method !== (body ? "POST" : "GET")) parts.push(`--request ${method}`);
  return [...parts, `"${new URL(address.replace(/^\//, ""), document.baseURI)}"`].join(" ");
}

async function run(method, address, body, out) {
  out.replaceChildren(made("p", { textContent: "asked" }));
  const token = byId("token").value.trim();
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const options = { method, headers };
  if (body) {
    const example = await fetch(body.url);
    headers["Content-Type"] = example.headers.get("Content-Type");
    options.body = await example.blob();
  }
  const answer = await fetch(address.replace(/^\//, ""), options);
  out.replaceChildren(made("p", { className: answer.ok ? "" : "problem", textContent: `${answer.status} ${answer.statusText}` }));
  out.append(...(await shown(answer)));
}

async function shown(answer) {
  const kind = answer.headers.get("Content-Type") ?? "";
  if (/^(image|video)/.test(kind)) {
    const src = URL.createObjectURL(await answer.blob());
    if (kind.startsWith("image")) return [made("img", { src, alt: "The answer: the street with its boxes drawn" })];
    return [made("a", { href: src, download: "annotated.mp4", textContent: "Download annotated.mp4" })];
  }
  let text = await answer.text();
  if (kind.includes("json")) {
    const found = JSON.parse(text);
    if (answer.status === 202) keepJob(found.id);
    text = JSON.stringify(found, null, 1);
  }
  return text ? [made("pre", { tabIndex: 0, textContent: text })] : [];
}

function keepJob(id) {
  for (const field of document.querySelectorAll("[data-path=job]")) {
    field.value = id;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

// --- what it answers

function outline(schema, components) {
  const found = resolved(schema, components);
  const one = resolved(found.items, components);
  const names = Object.keys((found.type === "array" ? one : found).properties ?? {});
  return names.length ? `${found.type === "array" ? "list of " : ""}${names.join(", ")}` : "";
}

function answersOf(call, components) {
  const rows = Object.entries(call.responses).map(([status, response]) => {
    const kinds = Object.entries(response.content ?? {}).map(([kind, content]) => {
      const fields = outline(content.schema, components);
      return fields && !kind.includes("problem") ? `${kind}: ${fields}` : kind;
    });
    const about = made("td", {}, response.description);
    if (kinds.length) about.append(made("br"), made("span", { className: "muted", textContent: kinds.join("; ") }));
    return made("tr", {}, made("th", { scope: "row", textContent: status }), about);
  });
  return made("details", {}, made("summary", { textContent: "Answers" }), made("table", {}, made("tbody", {}, ...rows)));
}

function cardOf(path, method, call, components) {
  const fields = (call.parameters ?? []).map((parameter) => fieldFor(call, parameter));
  const body = bodyOf(call);
  const curl = made("pre", { tabIndex: 0, className: "curl" });
  const out = made("div", { className: "answer" });
  out.setAttribute("aria-live", "polite");
  const button = made("button", { type: "button", textContent: "Run" });
  button.setAttribute("aria-label", `Run ${method} ${path}`);
  const update = () => (curl.textContent = curlOf(method, addressOf(path, fields), body));
  button.onclick = () => run(method, addressOf(path, fields), body, out).catch((error) => {
    out.replaceChildren(made("p", { className: "problem", textContent: error.message }));
  });
  const title = made("h2", {}, made("span", { className: "method", textContent: method }), " ", path);
  const card = made("article", { id: `call-${call.operationId}`, oninput: update }, title, made("p", { textContent: call.summary }));
  card.append(...fields.map((field) => field.row));
  if (call.requestBody) {
    const link = made("a", { href: body.url, download: "", textContent: body.summary.toLowerCase() });
    card.append(made("p", { className: "muted" }, `${call.requestBody.description} The example sends `, link, "."));
  }
  card.append(curl, button, out, answersOf(call, components));
  byId("token").addEventListener("input", update);
  update();
  return card;
}

async function start() {
  const about = await (await fetch("openapi.json")).json();
  byId("about").prepend(`Version ${about.info.version}. `);
  for (const [path, methods] of Object.entries(about.paths)) {
    for (const [method, call] of Object.entries(methods)) {
      byId("calls").append(cardOf(path, method.toUpperCase(), call, about.components.schemas));
    }
  }
}

start().catch((error) => {
  byId("status").textContent = error.message;
  byId("status").className = "bad";
});
