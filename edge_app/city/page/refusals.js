// Word a refusal of the server (RFC 9457) in the language of the page, by its code.
import { has, moment, number, text } from "/page/texts.js";

// Keys of what was sent -> what the page calls them.
const FIELDS = { id: "city.site", public: "city.on_public_page", bearing_deg: "city.bearing", attachments: "city.attached", new: "city.new_password",
  left_to_right: "direction.left_to_right", right_to_left: "direction.right_to_left" };
for (const key of ["road", "lat", "lon", "course", "time_zone", "lanes", "device", "line", "begins", "ends", "turned", "breaks", "reason", "name", "password", "role", "scope"]) FIELDS[key] = `city.${key}`;

// One line a reason. What has no code, or one that is newer than this page, stays as the server has written it.
export const worded = (told) => (told.errors ?? [told]).map(reason).join("\n");

function reason({ detail, code, parameters = {} }) {
  if (!has(`refused.${code}`)) return detail;
  const values = valuesOf(parameters);
  const places = ["row", "feature"].filter((kind) => kind in values).map((kind) => text(`refused.in_${kind}`, values));
  const field = parameters.field ? [parameters.field.split(".").map(named).join(" ")] : [];
  return [...places, ...field, text(`refused.${code}`, values)].join(": ");
}

// What the words of a code name, as the page writes it.
export const valuesOf = (parameters) => Object.fromEntries(Object.entries(parameters).map(([key, value]) => [key, typeof value === "number" ? number(value, 3) : value]));

// A sentence of the office, taken apart by the server: each part in the language of the page, or as it was written.
export const inWords = (parts) => parts.map((one, at) => `${partText(one)}${at === parts.length - 1 ? "" : one.code?.startsWith("of_") ? ": " : "; "}`).join("");

function partText({ detail, code, parameters = {} }) {
  if (!has(`because.${code}`)) return detail;
  const values = valuesOf(parameters);
  if (parameters.name) values.name = className(parameters.name);
  if (has(`source.${parameters.state}`)) values.state = text(`source.${parameters.state}`);
  if (parameters.at) values.at = moment(parameters.at);
  return text(`because.${code}`, values);
}

// A class of vehicles, or all together.
export function className(name) {
  const key = name.replaceAll(" ", "_");
  if (has(`fleet.sum.${key}`)) return text(`fleet.sum.${key}`);
  return has(`class.${name}`) ? text(`class.${name}`) : name;
}

// A part of a key; items of a list are numbered from 1.
export const named = (part) => (/^\d+$/.test(part) ? Number(part) + 1 : FIELDS[part] ? text(FIELDS[part]) : part);
