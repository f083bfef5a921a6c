// The login page: send the password, and say in words why it was not taken.

import { loadMessages, t } from "./messages.js";

const $ = (id) => document.getElementById(id);

async function logIn(event) {
  event.preventDefault();
  $("enter").disabled = true;
  $("problem").textContent = "";
  try {
    const body = JSON.stringify({ password: $("password").value });
    const answer = await fetch("login", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (answer.ok) {
      location.reload();
      return;
    }
    $("problem").textContent = await problem(answer);
  } catch {
    $("problem").textContent = t("login.unreachable");
  }
  $("enter").disabled = false;
  $("password").focus();
  $("password").select();
}

async function problem(answer) {
  const told = await answer.json();
  if (answer.status === 401) return t("login.wrong");
  if (told.retry_s) return t("login.wait", { seconds: told.retry_s });
  return told.problems.join(" ");
}

function show() {
  const shown = $("password").type === "password";
  $("password").type = shown ? "text" : "password";
  $("show").setAttribute("aria-pressed", String(shown));
  $("show").textContent = t(shown ? "login.hide" : "login.show");
}

async function start() {
  document.querySelector("form").onsubmit = logIn;
  $("show").onclick = show;
  $("enter").disabled = false; // before that the browser itself would send the form
  await loadMessages();
}

start().catch((error) => { $("problem").textContent = error.message; });
