// Elements made in one call, and a text as it stands alone.

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

// A sentence of the service, as it stands alone; one that begins with a key of the configuration stays as it is.
export function capital(text) { return /^[a-z_]+[.[:]/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1); }
