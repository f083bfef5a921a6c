// What becomes of a saved drawing: the service starts with it, or what was saved before is used again.

import { t } from "./messages.js";
import { call } from "./requests.js";

const EVERY_MS = 1000, LONGEST_MS = 400_000;

// Tell how it goes until it is decided; return whether the drawing is kept. tell: shows a text of a kind.
export async function followSave(tell) {
  const began = Date.now();
  while (Date.now() - began < LONGEST_MS) {
    const { step, problems } = await call("outcome").catch(() => ({ step: "restarting" }));
    if (step === "counting" || step === "stopped") {
      tell(t(`save.${step}`), "good");
      return true;
    }
    if (step === "unknown") {
      tell(t("save.unknown", { state: await serviceState() }), "bad");
      return true;
    }
    if (step !== "restarting") {
      tell(t(`save.${step === "undone" ? "undone" : "failed"}`, { why: problems.join(" ") }), "bad");
      return step !== "undone";
    }
    tell(t("save.restarting"), "busy");
    await new Promise((done) => { setTimeout(done, EVERY_MS); });
  }
  tell(t("save.unknown", { state: await serviceState() }), "bad");
  return true;
}

// What the service itself says, where the keeper does not tell.
async function serviceState() {
  const { status, problem } = await call("status").catch(() => ({ problem: true }));
  return t(`state.${status ? (status.counting ? "counting" : "not_counting") : problem ? "unknown" : "not_running"}`);
}
