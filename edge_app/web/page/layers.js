// Which layer of the configuration the drawing comes from, and which values of others are not used. Only where the
// page saves to a layer of its own.

import { clock, known, t } from "./messages.js";
import { element } from "./elements.js";

const DRAWN = { lines: "layers.lines", "detector.region": "layers.region", "privacy.masks": "layers.masks",
  "geometry.rectangle": "layers.geometry", "geometry.sides_m": "layers.geometry" };

export function showLayers(place, state) {
  place.replaceChildren();
  if (!state.layers) return;
  if (state.layers.length < 2) return;
  const byName = Object.fromEntries(state.layers.map((layer) => [layer.name, layer]));
  const rows = Object.entries(DRAWN).filter(([key]) => key in state.origins).map(([key, text]) => {
    const layer = byName[state.origins[key]];
    return [t("layers.row", { what: t(text), layer: nameOf(layer.name), revision: layer.revision, author: layer.author,
      at: day(layer.at) }), ""];
  });
  for (const one of state.conflicts) rows.push([t(one.ignored_is_newer ? "layers.newer" : "layers.conflict", {
    what: t(DRAWN[one.key] || one.key), used: nameOf(one.used), ignored: nameOf(one.ignored) }), one.ignored_is_newer ? "warn" : ""]);
  const told = [...new Map(rows)].map(([textContent, className]) => element("li", { className, textContent })); // two keys may be one thing
  const warned = state.conflicts.some((one) => one.ignored_is_newer);
  place.append(element("details", { open: warned }, element("summary", { textContent: t("layers.title") }),
    element("ul", {}, ...told)));
}

// What must be known before drawing: the configuration is damaged, or a later layer sets what is drawn here.
export function showWarnings(place, state) {
  const told = (text, level) => element("p", { className: `finding ${level}`, textContent: text });
  const { problems = [], origins = {}, geometry } = state;
  place.replaceChildren(
    ...(problems.length ? [told(t("layers.wrong"), "FAIL"), ...problems.map((problem) => told(problem, "detail"))] : []),
    ...Object.entries(DRAWN).filter(([key]) => origins[key] === "office")
      .map(([key, text]) => told(t("layers.sets", { layer: nameOf("office"), what: t(text) }), "warn")),
    ...(geometry?.points?.length ? [told(t("layers.points"), "detail")] : []));
}

// Why a saved drawing is not used, "" where it is.
export function overruled({ conflicts = [] }) {
  const [one] = conflicts.filter(({ ignored, key }) => ignored === "page" && key in DRAWN);
  return one ? t("save.overruled", { layer: nameOf(one.used), what: t(DRAWN[one.key]) }) : "";
}

function nameOf(layer) { return known(`layers.${layer}`) ? t(`layers.${layer}`) : layer; }

function day(at) { return clock(at * 1000, "UTC", { dateStyle: "short", timeStyle: "short", hourCycle: undefined }) + " UTC"; }
