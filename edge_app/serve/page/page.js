// The page of the service: pictures and clips in, boxes and counts out. Plain JavaScript, no build step.
"use strict";

const LEAST = 0.05; // the service gives all boxes from here on; the slider only hides
const POLL_MS = 1000;
const ARROW_PX = 16;
const COLOURS = { car: "#5cb8de", motorcycle: "#faa85c", bus: "#ba92de", truck: "#7ac88a", bicycle: "#ecdc6e" };

const byId = (id) => document.getElementById(id);
const pictures = []; // {file, bitmap, canvas, text, prediction}
let clip = null; // {file, url, job}

function say(text, bad = false, where = "status") {
  byId(where).textContent = text;
  byId(where).className = bad ? "bad" : "";
}

const sayOfClip = (text, bad = false) => say(text, bad, "clip-status");

async function ask(path, options = {}) {
  const token = byId("token").value.trim();
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  if (answer.status === 401) byId("token-row").hidden = false;
  const problem = await answer.json().catch(() => ({ detail: `the service answered ${answer.status}` }));
  const error = new Error(problem.detail);
  error.wait = answer.status === 503 ? Number(answer.headers.get("Retry-After")) || 1 : 0;
  throw error;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function predict(file) {
  for (let tries = 0; ; tries++) {
    try {
      return await (await ask(`predict?confidence=${LEAST}`, { method: "POST", body: file })).json();
    } catch (error) {
      if (!error.wait || tries >= 5) throw error;
      await pause(1000 * error.wait);
    }
  }
}

// --- pictures

const threshold = () => Number(byId("threshold").value);
const shownBoxes = (prediction) => prediction.boxes.filter((box) => box.score >= threshold());

const named = (n, name) => `${n} ${name}${n === 1 ? "" : name === "bus" ? "es" : "s"}`;

function draw(picture) {
  if (!picture.prediction) return;
  const { canvas, bitmap, prediction } = picture;
  canvas.width = prediction.width;
  canvas.height = prediction.height;
  const pen = canvas.getContext("2d");
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const scale = canvas.width / (canvas.clientWidth || canvas.width); // small screens get larger letters
  const size = Math.max(12, canvas.width / 55, 12 * scale);
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.lineWidth = Math.max(2, canvas.width / 420, 2 * scale);
  const boxes = shownBoxes(prediction);
  for (const box of [...boxes].reverse()) {
    const [x0, y0, x1, y1] = box.px;
    const text = `${box.class} ${box.score.toFixed(2)}`;
    pen.strokeStyle = pen.fillStyle = COLOURS[box.class] ?? "#c8c8c8";
    pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
    const wide = pen.measureText(text).width + size;
    const left = Math.max(0, Math.min(x0, canvas.width - wide));
    const top = y0 > 1.4 * size ? y0 - 1.4 * size : Math.max(0, y0);
    pen.fillRect(left, top, wide, 1.4 * size);
    pen.fillStyle = "#16202a";
    pen.fillText(text, left + size / 2, top + 1.05 * size);
  }
  const counted = {};
  for (const box of boxes) counted[box.class] = (counted[box.class] ?? 0) + 1;
  const parts = Object.entries(counted).map(([name, n]) => named(n, name));
  picture.text.textContent = `${parts.join(", ") || "no vehicle"} · ${prediction.ms.total.toFixed(0)} ms`;
  canvas.setAttribute("aria-label", `${picture.file.name}: ${parts.join(", ") || "no vehicle"}`);
}

function addPicture(file) {
  const card = document.createElement("article");
  const title = Object.assign(document.createElement("h2"), { textContent: file.name });
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", file.name);
  const text = Object.assign(document.createElement("p"), { textContent: "waiting" });
  const save = Object.assign(document.createElement("button"), { type: "button", textContent: "Download picture" });
  save.disabled = true;
  card.append(title, canvas, text, save);
  byId("pictures").append(card);
  const picture = { file, canvas, text, save, prediction: null };
  save.onclick = () => canvas.toBlob((blob) => download(blob, `${file.name}.boxes.png`), "image/png");
  pictures.push(picture);
  return picture;
}

async function look(picture) {
  try {
    [picture.prediction, picture.bitmap] = await Promise.all([
      predict(picture.file),
      createImageBitmap(picture.file, { imageOrientation: "from-image" }).catch(() => null),
    ]);
    picture.bitmap ??= document.createElement("canvas"); // a kind that this browser cannot show
    picture.save.disabled = byId("save").disabled = picture.canvas.hidden = picture.save.hidden = false;
    picture.text.className = "";
    draw(picture);
  } catch (error) {
    picture.text.textContent = error.message;
    picture.text.className = "problem";
    picture.canvas.hidden = picture.save.hidden = true;
  }
}

async function lookAtAll(waiting) {
  const next = async () => {
    for (let picture; (picture = waiting.shift()); ) {
      say(`${waiting.length + 1} to go`);
      await look(picture);
    }
  };
  await Promise.all([next(), next(), next(), next()]);
  const done = pictures.filter((picture) => picture.prediction).length;
  const failed = pictures.filter((picture) => picture.text.className === "problem").length;
  say(`${done} of ${pictures.length} pictures done${failed ? `, ${failed} failed` : ""}`, failed > 0);
}

function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

byId("save").onclick = () => {
  const done = pictures.filter((picture) => picture.prediction);
  const answers = done.map(({ file, prediction }) => ({
    name: file.name,
    prediction: { ...prediction, boxes: shownBoxes(prediction) },
  }));
  const text = JSON.stringify({ schema: "edge-app/boxes/1", pictures: answers }, null, 1);
  download(new Blob([text], { type: "application/json" }), "boxes.json");
};

byId("threshold").oninput = () => {
  byId("shown").textContent = threshold().toFixed(2);
  pictures.forEach(draw);
};

window.onresize = () => {
  pictures.forEach(draw);
  showLine();
};

// --- a clip

const ends = () => ["x0", "y0", "x1", "y1"].map((id) => Number(byId(id).value));

function showLine() {
  const [x0, y0, x1, y1] = ends();
  ["x1", "y1", "x2", "y2"].forEach((name, n) => byId("line").setAttribute(name, ends()[n]));
  byId("start").setAttribute("d", `M${x0} ${y0}l0.0001 0`); // of no length: its round ends are the dot
  const { width, height } = byId("sheet").getBoundingClientRect(); // the sheet is stretched, so angles are of the screen
  const angle = Math.atan2((y1 - y0) * height, (x1 - x0) * width);
  const [left, right] = [2.6, -2.6].map((turn) => {
    const [dx, dy] = [Math.cos(angle + turn), Math.sin(angle + turn)];
    return `${x1 + (ARROW_PX * dx) / (width || 1)} ${y1 + (ARROW_PX * dy) / (height || 1)}`;
  });
  byId("arrow").setAttribute("d", x0 === x1 && y0 === y1 ? "" : `M${left}L${x1} ${y1}L${right}`);
}

function place(event, ids) {
  const area = byId("sheet").getBoundingClientRect();
  const at = [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  ids.forEach((id, n) => { byId(id).value = Math.min(1, Math.max(0, at[n])).toFixed(3); });
  showLine();
}

byId("sheet").onpointerdown = (event) => {
  byId("sheet").setPointerCapture(event.pointerId);
  place(event, ["x0", "y0"]);
  place(event, ["x1", "y1"]);
};
byId("sheet").onpointermove = (event) => { if (event.buttons) place(event, ["x1", "y1"]); };
["x0", "y0", "x1", "y1"].forEach((id) => { byId(id).oninput = showLine; });
byId("video").onloadedmetadata = showLine;

function addClip(file) {
  if (clip) URL.revokeObjectURL(clip.url);
  clip = { file, url: URL.createObjectURL(file), job: null };
  byId("video").src = `${clip.url}#t=0.1`;
  byId("clip").hidden = false;
  byId("clip-name").textContent = file.name;
  sayOfClip("");
  byId("result").replaceChildren();
  showLine();
}

byId("count").onclick = async () => {
  const about = new URLSearchParams({ name: clip.file.name, line: `line:${ends().join(",")}`, annotate: "true" });
  byId("count").disabled = true;
  byId("progress").hidden = false;
  byId("progress").removeAttribute("value");
  byId("result").replaceChildren();
  try {
    sayOfClip("sending the clip");
    let job = await (await ask(`counts?${about}`, { method: "POST", body: clip.file })).json();
    clip.job = job.id;
    byId("cancel").hidden = false;
    while (["waiting", "counting"].includes(job.state)) {
      await pause(POLL_MS);
      job = await (await ask(`counts/${job.id}`)).json();
      if (job.of) byId("progress").value = job.done / job.of;
      const left = job.seconds_left === null ? "" : `, ${Math.ceil(job.seconds_left)} s left`;
      sayOfClip(`${job.state}${left}`);
    }
    if (job.state !== "done") throw new Error(job.problem);
    await showResult(job.id);
    sayOfClip("counted");
  } catch (error) {
    sayOfClip(error.message, true);
  } finally {
    byId("count").disabled = false;
    byId("cancel").hidden = byId("progress").hidden = true;
  }
};

byId("cancel").onclick = () => ask(`counts/${clip.job}`, { method: "DELETE" }).catch((error) => sayOfClip(error.message, true));

async function showResult(job) {
  const blob = await (await ask(`counts/${job}/result`)).blob();
  const counts = Object.values(JSON.parse(await blob.text()).totals)[0];
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const name of ["class", "left to right", "right to left"]) {
    head.append(Object.assign(document.createElement("th"), { scope: "col", textContent: name }));
  }
  const body = table.createTBody();
  for (const [name, by] of Object.entries(counts)) {
    const row = body.insertRow();
    row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: name }));
    for (const direction of ["left_to_right", "right_to_left"]) row.insertCell().textContent = by[direction];
  }
  const button = (text, act) => Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick: act });
  const annotated = async () => download(await (await ask(`counts/${job}/annotated`)).blob(), "annotated.mp4");
  const remove = async () => {
    await ask(`counts/${job}`, { method: "DELETE" });
    byId("result").replaceChildren();
    sayOfClip("removed from the service");
  };
  const sides = "Left and right are those of somebody who stands where the line begins and looks along it.";
  byId("result").replaceChildren(
    table,
    Object.assign(document.createElement("p"), { className: "muted", textContent: sides }),
    button("Download result", () => download(blob, "result.json")), " ",
    button("Download annotated video", () => annotated().catch((error) => sayOfClip(error.message, true))), " ",
    button("Remove", () => remove().catch((error) => sayOfClip(error.message, true))),
  );
}

// --- files

function take(files) {
  const added = [];
  for (const file of files) {
    if (file.type.startsWith("video/") || /\.(mkv|avi|ts|mpg)$/i.test(file.name)) addClip(file);
    else added.push(addPicture(file));
  }
  if (added.length) lookAtAll(added);
}

byId("files").onchange = () => { take(byId("files").files); byId("files").value = ""; };
byId("retry").onclick = () => lookAtAll(pictures.filter((picture) => !picture.prediction));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files);
  });
}
