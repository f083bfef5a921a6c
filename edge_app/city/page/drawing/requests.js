// Elements as the files of the devices' own page make them.

export function capital(text) { return /^[a-z_]+[.[:]/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1); }

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function svg(name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}
