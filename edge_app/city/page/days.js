// Days where a site lies. Times are s since 1970.
const DAY = 86400;

// Begin of the local day: clocks may have been changed since.
export function dayStart(at, timeZone) {
  const [hour, minute, second] = wallOf(at, timeZone).slice(11).split(":").map(Number);
  const guess = Math.floor(at) - hour * 3600 - minute * 60 - second;
  const wall = Number(new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", hour: "2-digit" }).format(new Date(guess * 1000)));
  return wall === 0 ? guess : guess + (wall > 12 ? 24 - wall : -wall) * 3600;
}

// The local time of a moment, such as 2026-11-30T06:00:00.
export function wallOf(at, timeZone) {
  const parts = Object.fromEntries(new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit" }).formatToParts(new Date(at * 1000)).map((part) => [part.type, part.value]));
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}:${parts.second}`;
}

// Function from a time to the second of the day that clocks there show: the same twice where they are set back.
export function clockOf(timeZone) {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return (at) => format.format(new Date(at * 1000)).split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
}

// The moment of a local time: the first one where clocks are set back. A time that they leave out is as much later.
export function momentOf(wall, timeZone) {
  const asUtc = Date.parse(`${wall}Z`) / 1000;
  const offset = (at) => Date.parse(`${wallOf(at, timeZone)}Z`) / 1000 - at;
  const [before, after] = [asUtc - DAY, asUtc + DAY].map((at) => asUtc - offset(at));
  const fitting = [before, after].filter((at) => at + offset(at) === asUtc);
  return fitting.length ? Math.min(...fitting) : before;
}

// The local day of a time, such as 2026-11-30.
export function dayOf(at, timeZone) {
  return new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" }).format(new Date(at * 1000));
}

// Begin of a local day. Noon UTC lies on it everywhere but far in the east.
export function beginOf(day, timeZone) {
  const midnight = Date.parse(`${day}T00:00:00Z`) / 1000;
  return dayStart([midnight + DAY / 2, midnight].find((at) => dayOf(at, timeZone) === day), timeZone);
}
