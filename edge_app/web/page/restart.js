// A button that restarts the service and tells how it goes, until the service counts again.

import { t } from "./messages.js";
import { element } from "./elements.js";
import { call } from "./requests.js";

const LONGEST_MS = 120_000;

export class Restart {
  // place: element for the button. status: the view that keeps the newest answer to /status.
  constructor(place, status) {
    this.status = status;
    this.told = element("p", { role: "status", className: "told" });
    this.button = element("button", { type: "button", textContent: t("restart.button"), onclick: () => this.run() });
    place.append(this.button, this.told);
  }

  async run() {
    this.button.disabled = true;
    const before = this.startedAt();
    try {
      this.tell(t("restart.asking"), "busy");
      await call("restart", "{}");
      await this.follow(before);
    } catch (error) {
      this.tell(error.message, "bad");
    }
    this.button.disabled = false;
  }

  // Follow the service until one that was started after the button counts.
  async follow(before) {
    const began = Date.now();
    while (Date.now() - began < LONGEST_MS) {
      const status = this.status.answer?.status, isNew = status && (before === null || this.startedAt() > before + 1000);
      if (isNew && status.counting) return this.tell(t("restart.done"), "good");
      this.tell(t(status && !isNew ? "restart.stopping" : "restart.starting"), "busy");
      await new Promise((done) => { setTimeout(done, 500); });
    }
    const status = this.status.answer?.status;
    return this.tell(status ? t("restart.back", { why: status.why_not }) : t("restart.slow"), "bad");
  }

  // When the service was started, ms by the device's clock; null when none runs.
  startedAt() {
    const { status, now } = this.status.answer || {};
    return status ? now - status.health.uptime_s * 1000 : null;
  }

  tell(text, kind) {
    this.told.textContent = text;
    this.told.className = `told ${kind}`;
  }
}
