// Ask before an edit that is not saved is left.
import { text } from "/page/texts.js";

let unsaved = false;

export function edited(is) {
  unsaved = is;
}

export const isEdited = () => unsaved;

export const mayLeave = () => !unsaved || confirm(text("city.leave_sure"));

addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault(); // the browser asks in its own words
});
