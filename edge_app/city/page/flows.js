// Traffic of a site by direction: an arrow where it drives to, and vehicles an hour.
import { element, number, text } from "/page/texts.js";
import { WAYS } from "/page/live.js";

const SIDEWAYS = { left_to_right: 90, right_to_left: 270 }; // as the camera sees it, where no bearing is known

export const nameOf = (site, way) => site[way].name || text(`direction.${way}`);

// One part a direction. Who does not see the arrow reads or hears the name of the direction.
export function arrows(site, rates) {
  return WAYS.map((way) => element("span", { class: "way", title: nameOf(site, way) },
    element("span", { class: "unseen" }, nameOf(site, way)), arrow(site[way].bearing_deg ?? SIDEWAYS[way]), number(rates[way])));
}

function arrow(degrees) {
  const made = element("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, element("path", { d: "M8 1 L14 9 H10 V15 H6 V9 H2 Z" }));
  made.style.transform = `rotate(${degrees}deg)`;
  return made;
}
