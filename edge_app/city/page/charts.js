// A chart that grows with its box.
import uPlot from "/page/libraries/uplot.min.js";

import { axis, colour } from "/page/theme.js";
import { number } from "/page/texts.js";

const LEAST_WIDTH = 280;

// A plot as wide as its box, by the clock of a time zone.
export function plotted(box, height, timeZone, options, columns) {
  const size = () => ({ width: Math.max(LEAST_WIDTH, box.clientWidth), height });
  const plot = new uPlot({ ...size(), tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), timeZone), ...options }, columns, box);
  const watched = new ResizeObserver(() => plot.setSize(size()));
  watched.observe(box);
  return { destroy: () => { watched.disconnect(); plot.destroy(); } };
}

// How much was seen, in %, below a curve. size: of its axis, as that of the curve. options: that differ from chart to chart.
export function seenStrip(box, timeZone, size, options, columns) {
  return plotted(box, 70, timeZone, {
    ...options,
    legend: { show: false },
    scales: { y: { range: [0, 100] } },
    axes: [{ ...axis(), show: false }, { ...axis(), size, splits: () => [0, 100], values: (_, splits) => splits.map((n) => number(n)) }],
    series: [{}, { stroke: colour("--seen"), fill: `${colour("--seen")}44`, width: 1, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }],
  }, columns);
}
