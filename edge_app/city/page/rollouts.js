// Roll-outs of detectors and releases: how far each is, what it is judged by, why it was stopped, and what a person can do about it.
import { may } from "/page/login.js";
import { followOrders, isOpen, officeNote, orderTable, place } from "/page/orders.js";
import { className, inWords } from "/page/refusals.js";
import { ask } from "/page/requests.js";
import { withStyle } from "/page/styles.js";
import { element, has, moment, number, searchField, stacked, text, whoText } from "/page/texts.js";

const EVERY_MS = 10000;
const MOST_ROWS = 200;
const ORDER = ["running", "trying", "sent", "waiting", "gone", "back", "refused", "failed", "changed", "stuck", "returned"];
const MARKS = { running: "counting", done: "counting", paused: "late", taking_back: "offline", taken_back: "offline", back: "offline", refused: "offline", failed: "offline", stuck: "offline", changed: "late", gone: "late" };
const mark = (state, words) => element("span", { class: `state ${MARKS[state] ?? "unknown"}` }, words);
const ENDED = ["taking_back", "taken_back"];
// A device by its state; one that waits for a roll-out that is taken back never gets it.
const memberText = (state, rollout) => text(`fleet.member.${state === "waiting" && ENDED.includes(rollout.state) ? "never" : state}`);

export async function showRollouts(view) {
  document.title = text("city.rollouts");
  view.append(element("h1", {}, text("city.rollouts")));
  if (!may("admin")) return void view.append(element("p", { class: "muted" }, text("fleet.for_administrators")));
  await withStyle("/page/fleet.css");
  const body = element("div");
  view.append(body);
  const refresh = async () => {
    const [{ rollouts }, office] = await Promise.all([ask("/api/v1/rollouts"), ask("/api/v1/office")]);
    body.replaceChildren(...[officeNote(office)].filter(Boolean), ...(rollouts.length ? rollouts.map(card) : [element("p", { class: "card muted" }, text("fleet.no_rollouts"))]));
  };
  await refresh();
  const timer = setInterval(() => refresh().catch(() => {}), EVERY_MS);
  return () => clearInterval(timer);
}

function card(rollout) {
  return element("section", { class: "card" }, element("h2", {}, element("a", { href: `/rollouts/${rollout.id}`, "data-view": true }, rollout.name)), head(rollout), groups(rollout));
}

function head(rollout) {
  return element("div", {}, element("p", { class: "row" }, mark(rollout.state, text(`fleet.rollout.${rollout.state}`)), element("span", {}, givenText(rollout))),
    element("p", {}, text("fleet.why", { at: moment(rollout.changed), who: whoText(rollout.who), why: inWords(rollout.why_parts) })));
}

const givenText = (rollout) => (rollout.kind === "release" ? text("fleet.release", { version: rollout.version }) : text("fleet.candidate", { model: rollout.candidate.slice(0, 12) }));

// A bar for each group: its devices by state.
function groups(rollout) {
  return element("ul", { class: "plain groups" }, rollout.groups.map((group) => {
    const states = ORDER.filter((state) => group.states[state]);
    const words = states.map((state) => `${memberText(state, rollout)} ${number(group.states[state])}`).join(", ");
    return element("li", { class: group.number === rollout.group ? "present" : "" },
      element("span", {}, text("fleet.group", { n: number(group.number), all: number(group.devices) }), group.begun ? ` · ${text("fleet.since", { at: moment(group.begun) })}` : ""),
      element("span", { class: "bar", role: "img", "aria-label": words }, states.map((state) => element("span", { class: `part ${state}`, style: `flex-grow: ${group.states[state]}` }))),
      element("span", { class: "muted" }, words));
  }));
}

export async function showRollout(view, id) {
  if (!may("admin")) return void view.append(element("p", { class: "muted" }, text("fleet.for_administrators")));
  await withStyle("/page/fleet.css");
  const first = await ask(`/api/v1/rollouts/${id}`);
  const { name } = first.rollout;
  document.title = name;
  const note = element("div");
  const now = element("div");
  const judged = element("div");
  const orders = element("div");
  const told = element("p", { role: "status" });
  const why = element("input", { maxlength: 300, autocomplete: "off" });
  const reason = element("label", { class: "field" }, element("span", {}, text("fleet.reason")), why);
  const buttons = element("div", { class: "row" });
  const search = searchField();
  const members = element("div");
  const history = element("div");
  let state = first;
  let open = new Set();
  view.append(element("p", {}, element("a", { href: "/rollouts", "data-view": true }, text("fleet.back_to_rollouts"))), element("h1", {}, name), note,
    element("section", { class: "card lead" }, element("h2", {}, text("fleet.now")), now, reason, buttons, told, element("h3", {}, text("fleet.orders")), orders), judged,
    element("section", { class: "card" }, element("h2", {}, text("fleet.members")), search, members), history);
  const act = (kind) => async () => {
    if (kind === "take_back" && !confirm(text("fleet.take_back_sure", { name }))) return;
    await place({ kind, rollout: name, why: why.value.trim() }, told);
    await follow.look();
  };
  const able = { running: ["pause", "take_back"], paused: ["go_on", "take_back"], done: ["take_back"] };
  const made = Object.fromEntries(["pause", "go_on", "take_back"].map((kind) => [kind, element("button", { type: "button", onclick: act(kind) }, text(`fleet.order.${kind}`))]));
  buttons.append(...Object.values(made)); // they stay, so that the keyboard's focus does
  const listMembers = () => {
    const words = search.value.trim().toLowerCase();
    const found = state.members.filter((one) => `${one.device} ${one.state} ${memberText(one.state, state.rollout)} ${one.reason} ${inWords(one.reason_parts)}`.toLowerCase().includes(words));
    members.replaceChildren(memberTable(found.slice(0, MOST_ROWS), state.rollout), ...(found.length > MOST_ROWS ? [element("p", { class: "muted" }, text("city.more", { n: number(found.length - MOST_ROWS) }))] : []));
  };
  const draw = () => {
    now.replaceChildren(head(state.rollout), groups(state.rollout));
    for (const [kind, button] of Object.entries(made)) button.hidden = !able[state.rollout.state]?.includes(kind);
    reason.hidden = !able[state.rollout.state];
    judged.replaceChildren(evidenceCard(state));
    history.replaceChildren(historyCard(state.events));
    listMembers();
  };
  const refresh = async () => {
    state = await ask(`/api/v1/rollouts/${id}`);
    draw();
  };
  search.addEventListener("input", listMembers);
  draw();
  const follow = followOrders(name, async (found, office) => {
    note.replaceChildren(...[officeNote(office)].filter(Boolean));
    orders.replaceChildren(orderTable(found));
    const still = new Set(found.filter(isOpen).map((order) => order.id));
    if ([...open].some((one) => !still.has(one))) await refresh();
    open = still;
  });
  const timer = setInterval(() => refresh().catch(() => {}), EVERY_MS);
  return () => { clearInterval(timer); follow.end(); };
}

// Sums of candidate and former over the same frames, or of a release and of what was to be expected; and what is still open.
function evidenceCard(whole) {
  const both = whole.rollout.kind === "release" ? ["fleet.with_release", "fleet.expected"] : ["fleet.of_candidate", "fleet.of_former"];
  const heads = ["city.class", ...both, "fleet.difference"];
  const rows = whole.sums.map((sum) => stacked(heads, [element("th", { scope: "row" }, className(sum.name)), element("td", {}, number(sum.candidate)), element("td", {}, number(sum.before)),
    element("td", {}, sum.before ? `${sum.candidate >= sum.before ? "+" : "−"}${number(Math.abs(sum.candidate / sum.before - 1) * 100, 1)} %` : "–")]));
  const blind = whole.decision === "pass" && !whole.hours; // as with a release whose devices are young, or when all have it
  const lasted = (Date.now() - Date.parse(whole.since)) / 3600000;
  const lacks = [whole.rollout.state === "running" && lasted < whole.hours_of_group ? text("fleet.lasts", { n: number(lasted, 1), all: number(whole.hours_of_group) }) : "",
    whole.starves ? text("fleet.starves") : whole.lacking.length ? text("fleet.lacking", { names: whole.lacking.map(className).join(", ") }) : "", inWords(whole.leans_parts)].filter(Boolean);
  return element("section", { class: "card" }, element("h2", {}, text("fleet.evidence")),
    element("p", {}, blind ? text("fleet.decision.blind") : `${text(`fleet.decision.${whole.decision}`)} ${text("fleet.hours_counted", { n: number(whole.hours) })}`, whole.judged ? ` ${text("fleet.judged", { at: moment(whole.judged) })}` : ""),
    whole.reasons.length ? element("ul", { class: "note" }, whole.reasons_parts.map((reason) => element("li", {}, inWords(reason)))) : null,
    rows.length ? element("table", { class: "stack" }, element("thead", {}, element("tr", {}, heads.map((one) => element("th", { scope: "col" }, text(one))))), element("tbody", {}, rows)) : blind ? null : element("p", { class: "muted" }, text("fleet.nothing_counted")),
    lacks.length ? [element("h3", {}, text("fleet.open")), element("ul", { class: "changes" }, lacks.map((one) => element("li", {}, one)))] : null);
}

function memberTable(found, rollout) {
  const heads = ["city.device", "fleet.group_head", "city.device_state", "city.reason", "fleet.changed"];
  if (!found.length) return element("p", { class: "muted" }, text("city.nothing_found"));
  return element("div", { class: "scroll", tabindex: "0" }, element("table", { class: "stack" }, element("thead", {}, element("tr", {}, heads.map((one) => element("th", { scope: "col", class: "text" }, text(one))))),
    element("tbody", {}, found.map((one) => stacked(heads, [element("th", { scope: "row" }, element("a", { href: `/device/${one.device}`, "data-view": true }, one.device)),
      ...[number(one.group), mark(one.state, memberText(one.state, rollout)), inWords(one.reason_parts) || "–", moment(one.changed)].map((cell) => element("td", { class: "text" }, cell))])))));
}

function historyCard(events) {
  const heads = ["city.when", "city.who", "city.what", "city.reason"];
  const whatText = (what) => (has(`fleet.event.${what}`) ? text(`fleet.event.${what}`) : what);
  return element("section", { class: "card" }, element("h2", {}, text("fleet.history")), element("table", { class: "stack" },
    element("thead", {}, element("tr", {}, heads.map((one) => element("th", { scope: "col", class: "text" }, text(one))))),
    element("tbody", {}, events.map((event) => stacked(heads, [moment(event.at), whoText(event.who), [whatText(event.what), event.subject].filter(Boolean).join(": "), inWords(event.why_parts) || "–"].map((cell) => element("td", { class: "text" }, cell)))))));
}
