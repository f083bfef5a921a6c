// What has changed at a site, on the axis of its curves and in words; where the series breaks the line is whole.
import { element, moment, text } from "/page/texts.js";

export function changeText(change) {
  const what = text(`city.change.${change.kind}`, { before: change.before || "–", after: change.after });
  return [what + (change.reason ? ` (${change.reason})` : ""), change.breaks ? text("city.breaks_here") : null].filter(Boolean).join(". ");
}

export function changeLines(changes) {
  return (plot) => {
    const { ctx, bbox } = plot;
    for (const change of changes) {
      const at = Date.parse(change.at) / 1000;
      if (at < plot.scales.x.min || at > plot.scales.x.max) continue;
      const x = Math.round(plot.valToPos(at, "x", true));
      ctx.save();
      ctx.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue(change.breaks ? "--bad" : "--warn").trim();
      ctx.lineWidth = 2 * devicePixelRatio;
      if (!change.breaks) ctx.setLineDash([6, 6]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.restore();
    }
  };
}

export function changeList(changes, timeZone) {
  return element("section", { class: "card" }, element("h2", {}, text("city.changes")), changes.length
    ? element("ul", { class: "changes" }, [...changes].reverse().map((change) => element("li", { class: change.breaks ? "break" : "" }, `${moment(change.at, timeZone)}: ${changeText(change)}`)))
    : element("p", { class: "muted" }, text("city.no_changes")));
}
