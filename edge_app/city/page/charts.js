// A chart that grows with its box.
import uPlot from "/page/libraries/uplot.min.js";

const LEAST_WIDTH = 280;

// A plot as wide as its box, by the clock of a time zone.
export function plotted(box, height, timeZone, options, columns) {
  const size = () => ({ width: Math.max(LEAST_WIDTH, box.clientWidth), height });
  const plot = new uPlot({ ...size(), tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), timeZone), ...options }, columns, box);
  const watched = new ResizeObserver(() => plot.setSize(size()));
  watched.observe(box);
  return { destroy: () => { watched.disconnect(); plot.destroy(); } };
}
