// What the day of a street is compared with: the same day a week before, another day, or the day of another street.
import { askAll } from "/page/requests.js";
import { element, moment, text } from "/page/texts.js";
import { beginOf, dayStart } from "/page/days.js";

const WEEK = "/week"; // no id of a site has a slash
const OTHER_DAY = "/day";
const DAY = 86400;

// A choice that lasts while the street is shown. changed: called when another one is taken. parts: what is chosen with.
export class Comparison {
  constructor(site, changed) {
    this.site = site;
    this.select = element("select", { "aria-label": text("city.compare_with") },
      element("option", { value: "" }, text("city.compare_with")), element("option", { value: WEEK }, text("city.week_before")),
      element("option", { value: OTHER_DAY }, text("city.other_day")));
    this.date = element("input", { type: "date", "aria-label": text("city.other_day"), hidden: true, onchange: changed });
    this.parts = [this.select, this.date];
    this.select.addEventListener("change", () => {
      this.date.hidden = this.select.value !== OTHER_DAY;
      changed();
    });
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

  // Label and vehicles by second of the clock's day of the day to compare with, null without one. name: of the day that is
  // shown, such as 2026-11-30. rates: asks for the quarters of a site.
  async day(name, rates) {
    const { value } = this.select;
    if (!value || (value === OTHER_DAY && !this.date.value)) return null;
    const other = this.sites?.find((one) => one.id === value) ?? this.site;
    const same = beginOf(value === OTHER_DAY ? this.date.value : name, other.time_zone);
    const begin = value === WEEK ? dayStart(same - 6.5 * DAY, other.time_zone) : same;
    const vehicles = byClock(await rates(other.id, begin, dayStart(begin + 1.5 * DAY, other.time_zone)));
    const label = { [WEEK]: text("city.week_before"), [OTHER_DAY]: moment(begin * 1000, other.time_zone, { dateStyle: "medium" }) }[value];
    return { label: label ?? other.road, vehicles };
  }
}

// Vehicles of a quarter by second of the clock's day; a quarter that is there twice has the mean of both. told: an answer of
// /rates.
function byClock(told) {
  const found = new Map();
  told.clock.forEach((second, at) => {
    if (told.vehicles[at] !== null) found.set(second, [...(found.get(second) ?? []), told.vehicles[at]]);
  });
  return new Map([...found].map(([second, many]) => [second, many.reduce((sum, one) => sum + one, 0) / many.length]));
}
