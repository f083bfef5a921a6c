// States of a site, the worst first, and their colours.
export const COLOURS = { offline: "--bad", blind: "--bad", moved: "--bad", blurred: "--warn", slow: "--warn", late: "--warn", unknown: "--muted", counting: "--good" };

export const STATES = Object.keys(COLOURS);
