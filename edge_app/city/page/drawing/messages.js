// Texts as the files of the devices' own page ask for them.
export { text as t, has as known, number } from "/page/texts.js";
