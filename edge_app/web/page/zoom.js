// Fit the picture into its place, and zoom into it with two fingers or the wheel.

const MOST = 6;

export class Zoom {
  // place: element around the picture. boxes: elements that are laid over each other. changed: called after a change.
  constructor(place, boxes, changed) {
    Object.assign(this, { place, boxes, changed, ratio: 16 / 9, factor: 1, centre: [0.5, 0.5], fingers: new Map() });
    place.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.about([event.clientX, event.clientY], this.factor * 1.0015 ** -event.deltaY);
    }, { passive: false });
    window.addEventListener("resize", () => this.fit());
  }

  get zoomed() { return this.factor > 1.001; }

  reset() {
    this.factor = 1;
    this.centre = [0.5, 0.5];
    this.fit();
  }

  // Note the fingers on the picture; returns true while there are two, which draw nothing.
  touch(event) {
    if (event.type === "pointerup" || event.type === "pointercancel") {
      this.fingers.delete(event.pointerId);
      return false;
    }
    if (event.type === "pointerdown" || this.fingers.has(event.pointerId)) {
      const before = [...this.fingers.values()];
      this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
      const now = [...this.fingers.values()];
      if (before.length > 1 && now.length > 1) this.pinch(before, now);
    }
    return this.fingers.size > 1;
  }

  pinch([a, b], [c, d]) {
    const apart = (p, q) => Math.hypot(p[0] - q[0], p[1] - q[1]) || 1, middle = (p, q) => [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2];
    const { w, h } = this.size(), [x0, y0] = middle(a, b), [x1, y1] = middle(c, d);
    this.centre = [this.centre[0] - (x1 - x0) / w, this.centre[1] - (y1 - y0) / h];
    this.about([x1, y1], this.factor * apart(c, d) / apart(a, b));
  }

  // Zoom so that what is shown at this place of the screen stays there.
  about([x, y], factor) {
    const box = this.place.getBoundingClientRect(), now = Math.min(MOST, Math.max(1, factor)), { w, h } = this.size();
    const off = [x - box.left - box.width / 2, y - box.top - box.height / 2], share = 1 - this.factor / now;
    this.centre = [this.centre[0] + off[0] / w * share, this.centre[1] + off[1] / h * share];
    this.factor = now;
    this.fit();
  }

  size() {
    const w = Math.min(this.place.clientWidth, this.place.clientHeight * this.ratio);
    return { w: w * this.factor, h: w * this.factor / this.ratio };
  }

  fit() {
    const { w, h } = this.size(), { clientWidth, clientHeight } = this.place;
    if (!w || !h) return; // not in sight at the moment
    this.centre = [[w, clientWidth], [h, clientHeight]].map(([whole, seen], n) => {
      const half = Math.min(0.5, seen / whole / 2);
      return Math.min(1 - half, Math.max(half, this.centre[n]));
    });
    const left = clientWidth / 2 - this.centre[0] * w, top = clientHeight / 2 - this.centre[1] * h;
    const box = { width: `${w}px`, height: `${h}px`, left: `${left}px`, top: `${top}px` };
    if (JSON.stringify(box) === this.shown) return;
    this.shown = JSON.stringify(box);
    for (const one of this.boxes) Object.assign(one.style, box);
    this.changed();
  }
}
