// Requests to the server of this page. Each returns JSON, or throws an Error with the sentences of the server.

import { capital } from "./elements.js";
import { known, t } from "./messages.js";

export async function call(path, body) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": cookie("__Host-csrf") };
  return (await ask(path, body === undefined ? {} : { method: "POST", headers, body })).json();
}

// The answer itself, where it is no JSON.
export async function ask(path, options = {}) {
  const answer = await fetch(path, options).catch((error) => {
    throw error.name === "AbortError" ? error : new Error(t("login.unreachable"));
  });
  if (answer.status === 401) location.reload(); // the session is over: log in, then go on
  if (!answer.ok) {
    const { problems, code } = await answer.json();
    throw new Error(known(`error.${code}`) ? t(`error.${code}`) : capital(problems.join("\n")));
  }
  return answer;
}

// The value of a cookie that scripts may read, "" without it.
export function cookie(name) {
  const found = document.cookie.split("; ").find((one) => one.startsWith(`${name}=`));
  return found ? found.slice(name.length + 1) : "";
}
