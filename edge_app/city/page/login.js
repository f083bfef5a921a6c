// Who uses the page: what they may do, the form to log in, and the button to log out.
import { ask, know, send } from "/page/requests.js";
import { element, text } from "/page/texts.js";

const RIGHTS = ["none", "read", "write", "admin"];
let me = { user: "", right: "none", csrf: "", open: false };

// told: the answer, where it is on its way already.
export async function whoAmI(told = ask("/api/v1/me")) {
  me = await told;
  know(me);
  const part = document.getElementById("me");
  part.replaceChildren(...(me.user ? [element("a", { href: "/account", "data-view": true }, me.user),
    element("button", { type: "button", onclick: leave }, text("city.log_out"))] : []));
  document.getElementById("open").hidden = !me.open;
  for (const link of document.querySelectorAll("nav [data-right]")) link.hidden = !may(link.dataset.right);
  return me;
}

export const may = (right) => RIGHTS.indexOf(me.right) >= RIGHTS.indexOf(right);

async function leave() {
  await send("POST", "/api/v1/logout");
  location.reload();
}

// Another password of one's own: all logins of the user end with it.
export async function showAccount(view) {
  document.title = me.user || text("city.user");
  const told = element("p", { role: "alert", class: "refused" });
  const secret = (name, key, autocomplete) => element("label", { class: "field" }, element("span", {}, text(key)),
    element("input", { name, type: "password", autocomplete, required: true, maxlength: 200 }));
  const form = element("form", { class: "card narrow" }, element("h1", {}, document.title),
    secret("password", "city.password", "current-password"), secret("new", "city.new_password", "new-password"), told, element("button", { class: "first" }, text("city.save")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await send("POST", "/api/v1/password", JSON.stringify({ password: form.elements.password.value, new: form.elements.new.value }));
      location.reload();
    } catch (error) {
      told.textContent = error.message;
    }
  });
  view.append(form);
}

export async function showLogin(view) {
  document.title = text("city.log_in");
  const told = element("p", { role: "alert", class: "refused" });
  const form = element("form", { class: "card narrow" }, element("h1", {}, text("city.log_in")),
    element("label", { class: "field" }, element("span", {}, text("city.user")), element("input", { name: "user", autocomplete: "username", autocapitalize: "none", required: true })),
    element("label", { class: "field" }, element("span", {}, text("city.password")), element("input", { name: "password", type: "password", autocomplete: "current-password", required: true })),
    told, element("button", { class: "first" }, text("city.log_in")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    button.textContent = text("city.logging_in");
    try {
      await send("POST", "/api/v1/login", JSON.stringify({ name: form.elements.user.value.trim(), password: form.elements.password.value }));
      location.reload();
    } catch (error) {
      told.textContent = error.message;
      button.disabled = false;
      button.textContent = text("city.log_in");
      form.elements.password.select();
    }
  });
  view.append(form);
}
