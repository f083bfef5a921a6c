// Load a style sheet that only some views need, once.
export function withStyle(href) {
  const there = document.querySelector(`link[href="${href}"]`);
  if (there) return there.loaded;
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  link.loaded = new Promise((done) => { link.onload = link.onerror = done; });
  document.head.append(link);
  return link.loaded;
}
