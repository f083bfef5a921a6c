// Colours of the theme, for what is drawn and not styled.
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function axis() {
  return { stroke: colour("--muted"), grid: { stroke: colour("--border"), width: 1 }, ticks: { stroke: colour("--border") } };
}
