// One card for each shape: its name, its directions, what the server finds about it, and what is done with it.

import { number, t, known } from "./messages.js";
import { capital, element } from "./elements.js";

// A finding of the server in the page's language.
export function findingText({ key, values, sentence, what }) {
  return capital(key && known(key) ? t(key, values) : sentence || what);
}

export function paragraph(finding) {
  return element("p", { className: `finding ${finding.level}`, textContent: findingText(finding) });
}

// shape: a line, region, mask or rectangle on the road. act: {choose, edit, done, remove, flip}, called with the shape.
export function makeCard(shape, act) {
  const remove = element("button", { type: "button", className: "remove", textContent: t("shape.delete"), onclick: () => act.remove(shape) });
  const buttons = element("div", { className: "buttons" }, remove);
  const card = element("div", { className: `shape ${shape.kind}` }, element("div", { className: "head" }, element("strong", { textContent: t(`shape.${shape.kind}`) }), buttons));
  if (shape.kind === "line") {
    buttons.prepend(element("button", { type: "button", className: "flip", textContent: t("shape.flip"), onclick: () => act.flip(shape) }));
    const id = element("small", { className: "id" });
    const tellId = () => { id.textContent = shape.id ? t(shape.kept ? "shape.id_stays" : "shape.id", { id: shape.id }) : t("shape.no_name"); };
    tellId();
    card.append(
      field("name", shape.name, t("shape.name"), t("shape.example_name"), (text) => { act.rename(shape, text); tellId(); }, act),
      id,
      field("left_to_right", shape.left_to_right, t("shape.left_to_right"), t("shape.example_a"), (text) => { shape.left_to_right = text.trim() || null; act.edit(); }, act),
      field("right_to_left", shape.right_to_left, t("shape.right_to_left"), t("shape.example_b"), (text) => { shape.right_to_left = text.trim() || null; act.edit(); }, act),
    );
  }
  if (shape.kind === "geometry") card.append(...["side_a", "side_b"].map((key, n) => lengthField(shape, key, n, act)));
  card.append(element("p", { className: "crossed" }), element("div", { className: "findings" }));
  card.onpointerdown = () => act.choose(shape);
  card.onfocusin = () => act.choose(shape);
  return card;
}

function field(key, value, name, example, changed, act) {
  const input = element("input", { value: value || "", placeholder: example, autocomplete: "off", spellcheck: false, maxLength: 64 });
  input.dataset.key = key;
  input.oninput = () => changed(printable(input.value));
  input.onchange = () => act.done();
  return element("label", {}, element("span", { textContent: name }), input);
}

// A length in metres, with a comma or a point.
function lengthField(shape, key, n, act) {
  const value = shape.sides[n] === null ? "" : number(shape.sides[n], 2);
  const input = element("input", { value, inputMode: "decimal", autocomplete: "off", maxLength: 8 });
  input.dataset.key = key;
  input.oninput = () => {
    const text = input.value.trim().replace(",", "."), length = Number(text);
    shape.sides = shape.sides.map((side, m) => (m !== n ? side : text && Number.isFinite(length) ? length : null));
    act.edit();
  };
  input.onchange = () => act.done();
  return element("label", {}, element("span", { textContent: t(`shape.${key}`) }), input);
}

// A text without what cannot be seen, as marks that turn the direction of writing: pasted, not typed.
function printable(text) { return text.replace(/[\p{Z}]/gu, " ").replace(/\p{C}/gu, ""); }

// The vehicles that crossed this line, of late or, where the page measures nothing, today by the service.
export function crossedText(shape, crossed, today) {
  const names = ["left_to_right", "right_to_left"].map((way) => shape[way] || t(`direction.${way}`));
  const told = crossed || (shape.kept && today);
  if (!told) return "";
  const [a, b] = told.counts;
  const values = { n: number(a + b), seconds: told.seconds, a: number(a), b: number(b), first: names[0], second: names[1] };
  if (!crossed) return t("shape.crossed_today", values);
  return t(a + b ? "shape.crossed" : "shape.crossed_none", values);
}
