// New intervals as they come. Returns what ends it.
export function watch(onInterval) {
  const source = new EventSource("/api/v1/live");
  source.onmessage = (event) => onInterval(JSON.parse(event.data));
  return () => source.close();
}

// Vehicles an hour of an interval; null where too little of it was seen to say.
export function perHour(interval) {
  const seen = (interval.end - interval.start) * interval.coverage;
  return seen < 1 ? null : ((interval.left_to_right + interval.right_to_left) * 3600) / seen;
}
