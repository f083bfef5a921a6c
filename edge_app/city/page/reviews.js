// Pictures of crossings, one after the other, for a person to say what they show; and what follows for each camera.
import { ask, send } from "/page/requests.js";
import { withStyle } from "/page/styles.js";
import { element, moment, number, stacked, text } from "/page/texts.js";

const ANSWERS = ["car", "motorcycle", "bus", "truck", "bicycle", "none", "unclear"];
const AT_ONCE = 20;
const OTHERS = { none: "city.review_none", unclear: "city.review_unclear" };
const named = (answer) => text(OTHERS[answer] ?? `class.${answer}`);
const address = (one) => `/api/v1/reviews/${one.id}.jpg`;

export async function showReviews(view) {
  await withStyle("/page/reviews.css");
  document.title = text("city.reviews");
  const choice = element("select", { "aria-label": text("city.device") });
  const waiting = element("span", { class: "muted end" });
  const told = element("p", { class: "told", role: "status", "aria-live": "polite" });
  const stage = element("div", { class: "stage" });
  const buttons = element("div", { class: "answers", role: "group", "aria-label": text("city.review_question") }, ANSWERS.map((answer, at) =>
    element("button", { "data-answer": answer, onclick: () => say(answer) }, element("kbd", {}, String(at + 1)), named(answer))));
  const back = element("button", { disabled: true, onclick: () => goBack() }, text("city.review_back"));
  const question = element("h2", {}, text("city.review_question"));
  const part = element("div", { class: "review" }, stage, element("div", {}, question, buttons, element("div", { class: "row" }, back, told), element("p", { class: "muted keys" }, text("city.review_keys"))));
  const empty = element("p", {}, text("city.review_empty"));
  const table = element("section", { class: "card" });
  view.append(element("div", { class: "row" }, element("h1", {}, text("city.reviews")), choice, waiting), element("section", { class: "card" }, part, empty), table);

  let queue = [], done = [], many = 0, busy = false;
  const draw = () => {
    const [now, next] = queue;
    part.hidden = !now;
    empty.hidden = Boolean(now);
    waiting.textContent = text("city.review_waiting", { n: number(many) });
    back.disabled = !done.length;
    if (!now) return;
    const picture = element("img", { src: address(now), alt: text("city.review_picture", { device: now.device, line: now.line, at: moment(now.at) }) });
    const frame = element("div", { class: "frame" });
    picture.addEventListener("load", () => {
      const [x0, y0, x1, y1] = now.box;
      const part = (value, of) => `${(100 * value) / of}%`;
      Object.assign(frame.style, { left: part(x0, picture.naturalWidth), top: part(y0, picture.naturalHeight), width: part(x1 - x0, picture.naturalWidth), height: part(y1 - y0, picture.naturalHeight) });
    });
    stage.replaceChildren(element("div", { class: "shown" }, picture, frame), element("p", { class: "muted" }, `${now.device} ${now.line} · ${moment(now.at)}`));
    if (next) new Image().src = address(next);
  };
  const fill = async () => {
    const known = new Set([...queue, ...done].map((one) => one.id));
    const found = await ask(`/api/v1/reviews?limit=${AT_ONCE}${choice.value ? `&device=${encodeURIComponent(choice.value)}` : ""}`);
    queue.push(...found.reviews.filter((one) => !known.has(one.id)));
    many = found.waiting;
  };
  const tell = async () => {
    const { devices } = await ask("/api/v1/accuracy");
    const heads = ["city.device", "city.answered", "city.waiting", "city.share_right"];
    const percent = (share) => number(100 * share, 1);
    const rows = devices.map((one) => stacked(heads, [element("th", { scope: "row" }, one.device), element("td", {}, number(one.answered)), element("td", {}, number(one.waiting)),
      element("td", {}, one.share === null ? text("city.accuracy_not_yet") : text("city.accuracy_of", { share: percent(one.share), low: percent(one.low), high: percent(one.high) }))]));
    table.hidden = !devices.length;
    table.replaceChildren(element("h2", {}, text("city.accuracy")), element("table", { class: "stack" },
      element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col" }, text(head))))), element("tbody", {}, rows)), element("p", { class: "muted" }, text("city.accuracy_note")));
    const held = choice.value;
    choice.replaceChildren(element("option", { value: "" }, text("city.all_devices")), ...devices.map((one) => element("option", { value: one.device }, one.device)));
    choice.value = held;
  };
  const say = async (answer) => {
    const now = queue[0];
    if (!now || busy) return;
    busy = true;
    try {
      const judged = await send("PUT", `/api/v1/reviews/${now.id}`, JSON.stringify({ answer }));
      const key = judged.right === null ? "city.review_noted" : judged.right ? "city.review_right" : "city.review_wrong";
      told.className = `told ${judged.right === false ? "wrong" : ""}`;
      told.textContent = text(key, { counted: text(`class.${judged.counted}`) });
      if (!now.again) many -= 1;
      done.push({ ...queue.shift(), again: true });
      if (queue.length < 3) await fill();
      draw();
      tell().catch(() => {}); // who answers quickly does not wait for the table
    } catch (error) {
      told.className = "told refused";
      told.textContent = error.message;
      queue.shift(); // its time is over, or the connection is lost: the list is read anew
      await fill().catch(() => {});
      draw();
    } finally {
      busy = false;
    }
  };
  const goBack = () => {
    if (!done.length || busy) return;
    queue.unshift(done.pop());
    told.textContent = "";
    draw();
  };
  const byKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
    const answer = ANSWERS[Number(event.key) - 1];
    if (answer) say(answer);
    else if (event.key === "Backspace") goBack();
    else return;
    event.preventDefault();
  };
  choice.addEventListener("change", async () => { queue = []; done = []; await fill(); draw(); });
  addEventListener("keydown", byKey);
  await tell();
  await fill();
  draw();
  if (matchMedia("(max-width: 859px)").matches) part.scrollIntoView(); // picture and answers together fill a phone
  return () => removeEventListener("keydown", byKey);
}
