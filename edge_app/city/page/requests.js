// Ask the API, and say so in sight when it does not answer.
import { text } from "/page/texts.js";

export async function ask(path, options = {}) {
  const lost = document.getElementById("lost");
  try {
    const answer = await fetch(path, options);
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? answer.statusText);
    lost.hidden = true;
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost.textContent = text("page.lost", { why: error.message });
    lost.hidden = false;
    throw error;
  }
}
