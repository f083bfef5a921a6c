// Ask the API, and say so in sight when it does not answer; send what changes something.
import { worded } from "/page/refusals.js";
import { text } from "/page/texts.js";

export async function ask(path, options = {}) {
  const lost = document.getElementById("lost");
  try {
    const told = await asked(path, options);
    lost.hidden = true;
    return told;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost.textContent = isRefusal(error) ? error.message : text("page.lost", { why: error.message });
    lost.hidden = false;
    throw error;
  }
}

// The server has answered, and what it says is about what was asked.
export const isRefusal = (error) => error.status < 500;

// A time, s since 1970, as a part of an address.
export const rfc = (seconds) => encodeURIComponent(new Date(Math.round(seconds) * 1000).toISOString());

// A list that comes in parts, whole. name: of the list in each answer. most: of a part.
export async function askAll(path, name, most = 1000) {
  const found = [];
  for (let next = ""; next !== null;) {
    const part = await ask(`${path}?limit=${most}&after=${encodeURIComponent(next)}`);
    found.push(...part[name]);
    next = part.next;
  }
  return found;
}

// What the server refuses is thrown in the language of the page, for the form to show.
export function send(method, path, body, type = "application/json") {
  const headers = me.csrf ? { "X-CSRF-Token": me.csrf } : {};
  return asked(path, { method, body, headers: body === undefined ? headers : { ...headers, "Content-Type": type } });
}

let me = { user: "", csrf: "" };

export function know(found) {
  me = found;
}

async function asked(path, options) {
  const answer = await fetch(path, options).catch((error) => {
    throw error.name === "AbortError" ? error : new Error(text("city.unreachable"));
  });
  if (answer.status === 401 && me.user) location.reload(); // the login is over
  if (!answer.ok) throw Object.assign(new Error(worded(await answer.json().catch(() => ({ detail: answer.statusText })))), { status: answer.status });
  return answer.status === 204 ? null : answer.json();
}
