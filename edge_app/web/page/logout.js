// A button that ends the session, where there is one: a page that a token opened has none.

import { t } from "./messages.js";
import { element } from "./elements.js";
import { call, cookie } from "./requests.js";

export function addLogout(place) {
  if (!cookie("__Host-csrf")) return;
  const button = element("button", { type: "button", id: "logout", textContent: t("login.out") });
  button.onclick = async () => {
    await call("logout", "{}").catch(() => {});
    location.reload();
  };
  place.append(button);
}
