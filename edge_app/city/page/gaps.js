// What is missing and what is being done about it, what contradicts, what was kept aside.
import { ask } from "/page/requests.js";
import { element, has, moment, number, stacked, text } from "/page/texts.js";

export async function showGaps(view) {
  document.title = text("city.gaps");
  const body = element("div");
  view.append(element("h1", {}, text("city.gaps")), body);
  const refresh = async () => {
    const { gaps, closed, lost, contradictions, contradictions_so_far: found, aside, aside_so_far: kept } = await ask("/api/v1/gaps");
    body.replaceChildren(
      card("city.gaps_title", ["city.line", "city.numbers", "city.doing"], gaps.map((gap) => [gap.line, span(gap), doingOf(gap)]), "city.no_gaps"),
      card("city.closed_gaps", ["city.line", "city.numbers", "city.asked_at", "city.closed_at", "city.outcome"], closed.map((one) => [one.line, span(one),
        moment(one.asked), moment(one.closed), one.lost ? text("city.closed_lost", { n: number(one.lost) }) : text("city.closed_whole")]), "city.no_closed_gaps"),
      lost.length ? card("city.lost_days", ["city.day", "city.intervals", "city.reason"], lost.map((one) => [moment(one.start, "UTC", { dateStyle: "medium" }), number(one.intervals), one.reason])) : "",
      card("city.contradictions", ["city.line", "city.what", "city.when"], contradictions.map((one) => [one.line, whatOf(one), moment(one.start)]), "city.no_contradictions", found, adviceOn(contradictions)),
      card("city.aside", ["city.topic", "city.reason", "city.when"], aside.map((one) => [one.topic, one.reason, moment(one.arrived)]), "city.nothing_aside", kept),
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

const LISTED = 200; // the newest so many, as the API tells them

// soFar: of which the rows are the newest; of both kinds 50,000 are kept.
function card(title, heads, rows, none, soFar = 0, advice = []) {
  if (!rows.length) return element("section", { class: "card" }, element("h2", {}, text(title)), element("p", { class: "muted" }, text(none)));
  return element("section", { class: "card" }, element("h2", {}, text(title)),
    rows.length >= LISTED && soFar > rows.length ? element("p", { class: "muted" }, text("city.newest_of", { n: number(rows.length), all: number(soFar) })) : null,
    ...advice,
    element("div", { class: "scroll", tabindex: "0" }, element("table", { class: "stack" },
    element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", class: "text" }, text(head))))),
    element("tbody", {}, rows.map((row) => stacked(heads, row.map((cell) => element("td", { class: "text" }, cell))))))));
}

function span({ first, last }) {
  return first === last ? number(first) : `${number(first)}–${number(last)}`;
}
