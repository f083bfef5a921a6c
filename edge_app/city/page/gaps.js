// What is missing and what is being done about it, what contradicts, what was kept aside.
import { ask } from "/page/requests.js";
import { element, has, moment, number, stacked, text } from "/page/texts.js";

export async function showGaps(view) {
  document.title = text("city.gaps");
  const body = element("div");
  view.append(element("h1", {}, text("city.gaps")), body);
  const shown = { gaps: LISTED, contradictions: LISTED, aside: LISTED }; // so many of each at most
  // What of a list beside that of gaps is shown, and whether more follow.
  const part = async (name, whole) => {
    const told = shown[name] > LISTED ? await ask(`/api/v1/${name}?limit=${shown[name]}`) : { [name]: whole[name], next: whole[`${name}_next`] };
    return { rows: told[name], more: told.next && more(name) };
  };
  const more = (name) => shown[name] < MOST && element("button", { type: "button", onclick: () => {
    shown[name] = Math.min(MOST, shown[name] * 2);
    return refresh();
  } }, text("fleet.more"));
  const refresh = async () => {
    const whole = await ask(`/api/v1/gaps?limit=${shown.gaps}`);
    const { gaps, closed, lost, found: all, contradictions_so_far: found, aside_so_far: kept } = whole;
    const [{ rows: contradictions, more: before }, { rows: aside, more: former }] = [await part("contradictions", whole), await part("aside", whole)];
    body.replaceChildren(
      card("city.gaps_title", ["city.line", "city.numbers", "city.doing"], gaps.map((gap) => [gap.line, span(gap), doingOf(gap)]), "city.no_gaps", { all, of: "city.gaps_of", more: whole.next && more("gaps") }),
      card("city.closed_gaps", ["city.line", "city.numbers", "city.asked_at", "city.closed_at", "city.outcome"], closed.map((one) => [one.line, span(one),
        moment(one.asked), moment(one.closed), one.lost ? text("city.closed_lost", { n: number(one.lost) }) : text("city.closed_whole")]), "city.no_closed_gaps"),
      lost.length ? card("city.lost_days", ["city.day", "city.intervals", "city.reason"], lost.map((one) => [moment(one.start, "UTC", { dateStyle: "medium" }), number(one.intervals), one.reason])) : "",
      card("city.contradictions", ["city.line", "city.what", "city.when"], contradictions.map((one) => [one.line, whatOf(one), moment(one.start)]), "city.no_contradictions", { all: found, advice: adviceOn(contradictions), more: before }),
      card("city.aside", ["city.topic", "city.reason", "city.when"], aside.map((one) => [one.topic, one.reason, moment(one.arrived)]), "city.nothing_aside", { all: kept, more: former }),
    );
  };
  await refresh();
  const timer = setInterval(() => refresh().catch(() => {}), 10000);
  return () => clearInterval(timer);
}

// A code that is newer than this page stays as it came.
const reasonOf = (code) => (has(`gone.${code}`) ? text(`gone.${code}`) : code);
const whatOf = ({ kind, what, number: seq }) => (seq !== null && has(`contradiction.${kind}`) ? text(`contradiction.${kind}`, { number: number(seq) }) : what);

// What counts of each kind that there is, and what to do.
function adviceOn(contradictions) {
  const kinds = [...new Set(contradictions.map(({ kind }) => kind))].filter((kind) => has(`contradiction_advice.${kind}`));
  return kinds.sort().map((kind) => element("p", {}, text(`contradiction_advice.${kind}`)));
}

function doingOf({ state, reason, asked, newest, times, next }) {
  if (state === "lost") return text("city.gap_lost", { reason: reasonOf(reason) });
  const told = [];
  if (state !== "asked") told.push(text(`city.gap_${state}`));
  if (times === 1) told.push(text("city.gap_asked", { asked: moment(asked) }));
  if (times > 1) told.push(text("city.gap_asked_again", { n: number(times), asked: moment(asked), newest: moment(newest) }));
  if (next) told.push(Date.parse(next) > Date.now() ? text("city.gap_next", { next: moment(next) }) : text("city.gap_next_due"));
  return told.join("; ");
}

const LISTED = 200; // so many of each the API tells by itself
const MOST = 10000; // so many it tells at once

// all: of which the rows are some, in the words `of`. more: a button, where more follow.
function card(title, heads, rows, none, { all = 0, of = "city.newest_of", advice = [], more } = {}) {
  if (!rows.length) return element("section", { class: "card" }, element("h2", {}, text(title)), element("p", { class: "muted" }, text(none)));
  return element("section", { class: "card" }, element("h2", {}, text(title)),
    rows.length >= LISTED && all > rows.length ? element("p", { class: "muted" }, text(of, { n: number(rows.length), all: number(all) })) : null,
    ...advice,
    element("div", { class: "scroll", tabindex: "0" }, element("table", { class: "stack" },
    element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", class: "text" }, text(head))))),
    element("tbody", {}, rows.map((row) => stacked(heads, row.map((cell) => element("td", { class: "text" }, cell))))))), more || null);
}

function span({ first, last }) {
  return first === last ? number(first) : `${number(first)}–${number(last)}`;
}
