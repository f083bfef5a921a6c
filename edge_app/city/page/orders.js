// Orders to the office's process, which has the signing key: place them, and show what becomes of them.
import { inWords } from "/page/refusals.js";
import { ask, send } from "/page/requests.js";
import { element, has, moment, number, stacked, text, whoText } from "/page/texts.js";

const EXPIRES_MS = 600000;
const LIVELY_MS = 1500;
const QUIET_MS = 10000;
const OPEN = ["waiting", "sent"];
const MARKS = { answered: "counting", refused: "offline", expired: "late" };

// Says when nobody carries orders out, and why.
export function officeNote(office) {
  const told = !office.running ? text("fleet.no_office") : office.problem ? text("fleet.office_problem", { why: office.problem }) : "";
  return told ? element("p", { class: "note", role: "status" }, told) : null;
}

// Place an order; what the server refuses is told where the button is. told: element for it.
export async function place(wish, told) {
  told.className = "";
  told.textContent = "";
  try {
    const { id } = await send("POST", "/api/v1/orders", JSON.stringify(wish));
    told.textContent = text("fleet.placed");
    return id;
  } catch (error) {
    told.className = "refused";
    told.textContent = error.message;
    return null;
  }
}

export const isOpen = (order) => OPEN.includes(order.state) && !(order.state === "waiting" && Date.now() - Date.parse(order.at) > EXPIRES_MS);

// What is asked, in words.
export function orderText({ kind, args }) {
  const parts = kind === "config" ? [
    ...Object.entries(args.values ?? {}).map(([key, value]) => (key === "lines" ? text("fleet.lines_of_order", { n: number(value.length), names: value.map((line) => line.id).join(", ") }) : `${key} = ${JSON.stringify(value)}`)),
    ...(args.unset ?? []).map((key) => text("fleet.key_default", { key })), ...(args.left ?? []).map((key) => text("fleet.key_left", { key }))]
    : kind === "harvest" ? [args.enabled ? text("fleet.harvest_on", { n: number(args.hours) }) : text("fleet.harvest_off")]
      : args.why ? [args.why] : [];
  return [text(`fleet.order.${kind}`), ...parts].join(": ");
}

export function stateOf(order) {
  const state = order.state === "waiting" && !isOpen(order) ? "expired" : order.state;
  return element("span", { class: MARKS[state] ? `state ${MARKS[state]}` : "muted" }, text(`fleet.order_state.${state}`));
}

export function orderTable(orders) {
  const heads = ["city.when", "city.who", "fleet.asked", "fleet.became", "fleet.answer"];
  if (!orders.length) return element("p", { class: "muted" }, text("fleet.no_orders"));
  return element("div", { class: "scroll", tabindex: "0" }, element("table", { class: "stack" }, element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", class: "text" }, text(head))))),
    element("tbody", {}, orders.map((order) => stacked(heads, [moment(order.at), whoText(order.who), orderText(order), stateOf(order), answerText(order)].map((cell) => element("td", { class: "text" }, cell)))))));
}

// The device's own words are English, behind what they mean in the language of the page.
function answerText({ state, answer, answer_parts: parts }) {
  const [, code, words] = answer.match(/^([a-z_ ]+): (.*)$/s) ?? [];
  const key = code && `fleet.refused.${code.replace(" ", "_")}`;
  if (state === "refused" && key && has(key)) return `${text(key)} (${words})`;
  return inWords(parts) || "–";
}

// Follow the orders of a subject: quickly while one is open. show: called with each answer. Returns what ends it.
export function followOrders(subject, show) {
  let timer;
  let over = false;
  const look = async () => {
    clearTimeout(timer);
    let wait = QUIET_MS;
    try {
      const [{ orders }, office] = await Promise.all([ask(`/api/v1/orders?subject=${encodeURIComponent(subject)}`), ask("/api/v1/office")]);
      if (over) return;
      await show(orders, office);
      if (orders.some(isOpen)) wait = LIVELY_MS;
    } catch { /* `ask` has told why */ }
    if (!over) timer = setTimeout(look, wait);
  };
  return { first: look(), look, end: () => { over = true; clearTimeout(timer); } };
}

// The newest picture that a device has sent and the city still has, drawn on a canvas; null without one.
export async function drawPicture(canvas, order) {
  const answer = await fetch(`/api/v1/orders/${order.id}/file`);
  if (!answer.ok) return null;
  const picture = await createImageBitmap(await answer.blob());
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
  return picture;
}

export const newestPicture = (orders) => orders.find((order) => order.kind === "snapshot" && order.state === "answered" && order.file);
