// Requests to the server of this page. Each returns JSON, or throws an Error with the sentences of the server.

export async function call(path, body) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": cookie("__Host-csrf") };
  const answer = await fetch(path, body === undefined ? {} : { method: "POST", headers, body });
  if (answer.status === 401 && path !== "login") location.reload(); // the session is over: log in, then go on
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.problems.join("\n"));
  return data;
}

// The value of a cookie that scripts may read, "" without it.
export function cookie(name) {
  const found = document.cookie.split("; ").find((one) => one.startsWith(`${name}=`));
  return found ? found.slice(name.length + 1) : "";
}

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
