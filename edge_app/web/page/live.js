// Show live pictures: a stream of JPEGs (multipart/x-mixed-replace), read here, so that its end is noticed and the next
// one asked for. A page that nobody looks at asks for none.

import { ask } from "./requests.js";

const PAUSE_MS = 1500;
const utf8 = new TextDecoder();

export class LivePicture {
  constructor(picture, told) {
    Object.assign(this, { picture, told, running: false, url: "" });
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.wanted) this.start(); });
  }

  start() {
    this.wanted = true;
    if (!this.running) this.run();
  }

  stop() {
    this.wanted = false;
    this.abort?.abort();
  }

  async run() {
    this.running = true;
    while (this.wanted && !document.hidden) {
      try {
        this.abort = new AbortController();
        const answer = await ask("live.mjpeg", { signal: this.abort.signal });
        await this.read(answer.body.getReader());
      } catch (error) {
        if (error.name === "AbortError") break;
        this.told(error.message);
        await new Promise((done) => { setTimeout(done, PAUSE_MS); });
      }
    }
    this.running = false;
  }

  async read(reader) {
    let data = new Uint8Array(0);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const joined = new Uint8Array(data.length + value.length);
      joined.set(data);
      joined.set(value, data.length);
      data = joined;
      for (let part; (part = takePicture(data)); data = part.rest) this.show(part.picture);
      if (document.hidden) { await reader.cancel(); return; }
    }
  }

  show(bytes) {
    const old = this.url;
    this.url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    this.picture.src = this.url;
    this.picture.hidden = false;
    if (old) setTimeout(() => URL.revokeObjectURL(old), 1000);
    this.told("");
  }
}

function takePicture(data) {
  const head = utf8.decode(data.subarray(0, 200));
  const length = /Content-Length: (\d+)\r\n\r\n/.exec(head);
  if (!length) return null;
  const from = length.index + length[0].length, to = from + Number(length[1]);
  if (data.length < to + 2) return null;
  return { picture: data.slice(from, to), rest: data.slice(to + 2) };
}
