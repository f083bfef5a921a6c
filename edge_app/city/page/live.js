// New intervals as they come. Returns what ends it.
export function watch(onInterval) {
  const source = new EventSource("/api/v1/live");
  source.onmessage = (event) => onInterval(JSON.parse(event.data));
  return () => source.close();
}

export const WAYS = ["left_to_right", "right_to_left"];

const LAST_S = 300;
const SEEN = 0.5; // of these minutes must have been seen for a rate

// Vehicles an hour of a site by direction over the last five minutes, by what was seen of them.
export class Flow {
  // told: its `last_minutes`. It has what was told before, and is told anew from time to time: what comes live can be missed.
  constructor(told) {
    this.known = [];
    this.base(told);
  }

  base(told) {
    this.before = told && { ...told, end: Date.parse(told.end) / 1000 };
    this.known = told ? this.known.filter((one) => one.end > this.before.end) : [];
  }

  // An interval, with the directions of the site.
  add(interval) {
    if (interval.end > (this.before?.end ?? 0)) this.known.push(interval);
  }

  // By direction; null where less than half was seen.
  rates() {
    const { before } = this;
    const end = Math.max(before?.end ?? 0, ...this.known.map((one) => one.end));
    this.known = this.known.filter((one) => one.end > end - LAST_S);
    // What came before is known as a sum, which fades as the five minutes move on.
    const kept = before ? Math.max(0, 1 - (end - before.end) / LAST_S) : 0;
    const sum = (of) => this.known.reduce((all, one) => all + of(one), 0);
    const length = kept * (before?.length_s ?? 0) + sum((one) => one.end - one.start);
    const seen = kept * (before?.seen_s ?? 0) + sum((one) => (one.end - one.start) * one.coverage);
    if (seen < SEEN * Math.max(LAST_S, length)) return null;
    return Object.fromEntries(WAYS.map((way) => [way, ((kept * (before?.[way] ?? 0) + sum((one) => one[way])) * 3600) / seen]));
  }
}

export const swapped = (interval) => ({ ...interval, left_to_right: interval.right_to_left, right_to_left: interval.left_to_right });
