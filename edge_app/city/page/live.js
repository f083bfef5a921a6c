// New intervals as they come. Returns what ends it.
export function watch(onInterval) {
  const source = new EventSource("/api/v1/live");
  source.onmessage = (event) => onInterval(JSON.parse(event.data));
  return () => source.close();
}

export const WAYS = ["left_to_right", "right_to_left"];

// Vehicles an hour by direction over the last minutes, by what was seen of them; null where that is too little to say.
const LAST_S = 300;

export function flow() {
  let known = [];
  return (interval) => {
    known = [...known, interval].filter((one) => one.end > interval.end - LAST_S);
    const seen = known.reduce((sum, one) => sum + (one.end - one.start) * one.coverage, 0);
    if (seen < 5) return null;
    return Object.fromEntries(WAYS.map((way) => [way, (known.reduce((sum, one) => sum + one[way], 0) * 3600) / seen]));
  };
}
