// What the page says about the device, from the answer to /status: [name, text, level], level ok, warn or bad.

import { clock, known, number, t } from "./messages.js";
import { capital } from "./elements.js";

const LEAST_DISK_MB = 500, HOT_C = 80, SEEN = 0.95, DAY_MS = 86_400_000, CLOCK_APART_MS = 60_000;

// Flags with which vehicles are counted wrongly or not at all.
const DOUBTS = ["synthetic", "blind", "dark", "blurred", "moved", "slow"];

// Problems that the fact of another name tells in full.
const TOLD_BELOW = ["camera", "clock_unsynced", "certificate"];

// Why the device does not count, or what else is wrong: [in the person's language, what the service says about it].
export function because(answer, state) {
  const { status } = answer;
  if (state === "not_running") return [t("state.not_running_do", { command: answer.command.replace("restart", "start") }), ""];
  if (state === "unknown") return [capital(answer.problem), ""];
  if (state === "counting") return problem(status);
  const { source } = status.health;
  return source.state === "ok" ? [t("why.no_frame"), ""] : [t(`why.${source.state}`), capital(source.detail)];
}

function problem({ health, problem_code: code }) {
  if (!health.problem || TOLD_BELOW.includes(code)) return ["", ""];
  return known(`problem.${code}`) ? [t(`problem.${code}`), capital(health.problem)] : [capital(health.problem), ""];
}

// Whether the counts of now and of the last closed intervals are not to be believed.
export function isDoubtful(status) {
  return flags(status).some((flag) => DOUBTS.includes(flag)) || leastCoverage(status.lines) < SEEN;
}

// The flags of now, and of the last closed intervals.
function flags({ quality, lines }) { return [...new Set([...quality, ...lines.flatMap(({ newest }) => newest?.quality || [])])]; }

function leastCoverage(lines) { return Math.min(...lines.filter(({ newest }) => newest).map(({ newest }) => newest.coverage)); }

export function facts(answer) {
  const { status } = answer;
  const clockFact = ["clock", ...clockText(answer)], wrong = answer.configuration?.length;
  const config = wrong ? [["config", `${t("value.config_wrong")} ${answer.configuration[0]}`, "bad"]] : [];
  if (!status) return [clockFact, ...config];
  const { health } = status;
  return [
    ...(problem(status)[0] ? [["problem", problem(status).join(" "), "bad"]] : []),
    ...health.limits.map((limit) => ["problem", capital(limit), "warn"]),
    ["coverage", ...coverage(status.lines)],
    ...speeds(status.lines),
    ["flags", flags(status).map(flagText).join(", ") || t("value.none"), flags(status).length ? "warn" : "ok"],
    ["broker", t(status.connected ? "value.connected" : "value.not_connected", { broker: status.broker }), status.connected ? "ok" : "bad"],
    ["unsent", health.unsent ? t("value.unsent", { n: number(health.unsent) }) : t("value.unsent_none"), health.unsent > status.lines.length * 2 ? "warn" : "ok"],
    ["camera", camera(health), health.source.state === "ok" ? "ok" : "bad"],
    ["temperature", health.temperature_c === null ? t("value.no_sensor") : `${number(health.temperature_c)} °C`, health.temperature_c > HOT_C ? "warn" : "ok"],
    ["disk", free(health.disk_free_mb), health.disk_free_mb !== null && health.disk_free_mb < LEAST_DISK_MB ? "bad" : "ok"],
    ["memory", t("value.memory", { n: number(health.memory_mb || 0), free: number(health.memory_available_mb || 0) }), "ok"],
    clockFact,
    ["certificate", ...certificates(status.certificates, answer)],
    ["running", age(health.uptime_s), "ok"],
    ["version", status.version, "ok"],
    ["model", `${status.model_name} ${status.model}`, "ok"],
    ...(wrong ? config : [answer.newer ? ["config", t("value.config_old", { running: status.config, newer: answer.newer }), "bad"] : ["config", status.config, "ok"]]),
  ];
}

export function flagText(flag) { return known(`flag.${flag}`) ? t(`flag.${flag}`) : flag; }

function coverage(lines) {
  const least = leastCoverage(lines);
  if (least === Infinity) return [t("value.no_interval"), "ok"];
  return [t("value.coverage", { share: number(Math.floor(least * 100)) }), least < SEEN ? "warn" : "ok"];
}

// Mean speeds of the newest interval at each line, where they are measured.
function speeds(lines) {
  const told = lines.flatMap(({ id, names, newest }) => Object.entries(newest?.speed_kmh || {}).map(([way, kmh]) => {
    const text = t("value.speed", { way: names[way] || t(`direction.${way}`), kmh: number(kmh) });
    return lines.length > 1 ? `${id}: ${text}` : text;
  }));
  return told.length ? [["speed", told.join(", "), "ok"]] : [];
}

function camera({ source, frames_per_s: rate }) {
  const state = t(`source.${source.state}`), size = `${source.width}×${source.height}`;
  if (source.state === "ok") return t("value.camera", { state, size, rate: number(rate, 1) });
  return source.detail ? `${state}. ${capital(source.detail)}` : state;
}

function free(megabytes) { return megabytes === null ? t("value.no_sensor") : t("value.free", { n: number(megabytes) }); }

function clockText({ now, zone, status }) {
  const options = { dateStyle: "medium", timeStyle: "medium" };
  const time = `${clock(now, zone, options)} ${zone}`;
  if (Math.abs(now - Date.now()) > CLOCK_APART_MS) return [t("value.clock_apart", { time, own: clock(Date.now(), zone, options) }), "bad"];
  if (!status) return [time, "ok"];
  return status.clock_set ? [t("value.clock_set", { time }), "ok"] : [t("value.clock_unset", { time }), "warn"];
}

function certificates(ends, { now, zone }) {
  const all = Object.entries(ends);
  if (!all.length) return [t("value.no_certificate"), "ok"];
  const text = all.map(([name, end]) => t("value.certificate", { name: known(`certificate.${name}`) ? t(`certificate.${name}`) : name, day: clock(end, zone, { dateStyle: "medium" }) }));
  const first = Math.min(...all.map(([, end]) => Date.parse(end)));
  return [text.join(", "), first < now ? "bad" : first < now + 30 * DAY_MS ? "warn" : "ok"];
}

function age(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days) return t("value.days", { days: number(days), hours: hours % 24 });
  return hours ? t("value.hours", { hours, minutes: minutes % 60 }) : t("value.minutes", { minutes });
}
