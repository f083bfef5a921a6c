// What the day of a street is compared with: the same day a week before, or the day of another street.
import { askAll } from "/page/requests.js";
import { element, text } from "/page/texts.js";

const WEEK = "/week"; // no id of a site has a slash

// A choice that lasts while the street is shown. changed: called when another one is taken.
export class Comparison {
  constructor(site, changed) {
    this.site = site;
    this.select = element("select", { "aria-label": text("city.compare_with") },
      element("option", { value: "" }, text("city.compare_with")), element("option", { value: WEEK }, text("city.week_before")));
    this.select.addEventListener("change", changed);
    for (const touched of ["pointerenter", "focus"]) this.select.addEventListener(touched, () => this.fill(), { once: true });
  }

  // The other streets come when somebody may want one: there can be thousands.
  fill() {
    this.asked ??= askAll("/api/v1/sites", "sites", 10000).then((sites) => {
      const order = new Intl.Collator();
      this.sites = sites.filter((one) => one.id !== this.site.id).sort((a, b) => order.compare(a.road, b.road));
      this.select.append(...this.sites.map((one) => element("option", { value: one.id }, one.road)));
    }).catch(() => { this.asked = undefined; });
  }

  // Label and quarters of the day to compare with, null without one. counts, dayStart: as in street.js.
  async day(now, midnight, counts, dayStart) {
    const value = this.select.value;
    if (!value) return null;
    const other = this.sites?.find((one) => one.id === value) ?? this.site;
    const begin = value === WEEK ? dayStart(midnight - 6.5 * 86400, other.time_zone) : dayStart(now, other.time_zone);
    const { steps } = await counts(other.id, begin, begin + 86400, "quarter");
    return { label: value === WEEK ? text("city.week_before") : other.road, begin, steps };
  }
}
