// SPDX-License-Identifier: Apache-2.0
"use strict";
const $ = (id) => document.getElementById(id);
const board = $("draw"), ink = board.getContext("2d", { willReadFrequently: true });
const state = { kind: "drawing", sample: null, layer: null, empty: true };
const keys = { x: 0.5, y: 0.5, down: false };
const SLIDERS = ["right", "down", "turn"];
const GRID = 16;  // cells that the keyboard's pen moves by
let model = null, busy = false, again = false, told = null, timer = 0, camera = null;

// -- asking ------------------------------------------------------------------------------------

async function ask(path, question) {
  const settings = question && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question),
  };
  const reply = await fetch(path, settings);
  const found = await reply.json();
  if (!reply.ok) throw new Error(found.error);
  return found;
}

function pixels() {
  const { data, width, height } = ink.getImageData(0, 0, board.width, board.height);
  const channels = model.image[0], bytes = new Uint8Array(width * height * channels);
  for (let i = 0, o = 0; i < data.length; i += 4) {
    if (channels === 1) bytes[o++] = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2] + 0.5;
    else for (let c = 0; c < 3; c++) bytes[o++] = data[i + c];
  }
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return { pixels: btoa(text), width, height };
}

function question() {
  if (state.sample !== null) return { sample: state.sample };
  return { kind: state.kind, centre: $("centre").checked, ...pixels() };
}

async function update() {
  if (state.empty) return;
  if (busy) { again = true; return; }  // the newest picture is asked for once this one is answered
  busy = true;
  try {
    do {
      again = false;
      const moves = Object.fromEntries(SLIDERS.map((name) => [name, Number($(name).value)]));
      show(await ask("look", { ...question(), ...moves, layer: state.layer }));
    } while (again);
  } catch (error) {
    $("answer").textContent = `It did not work: ${error.message}`;
  }
  busy = false;
}

// -- showing -----------------------------------------------------------------------------------

function picture(image, source, words) {
  image.hidden = !source;
  if (source) { image.src = source; image.alt = words; }
}

function show(found) {
  if (state.empty) return;
  picture($("seen"), found.input, "The image as the network gets it");
  const best = found.odds[0];
  picture($("cam"), found.cam, best ? `Grad-CAM: what speaks for ${best[0]}` : "Grad-CAM");
  $("odds").replaceChildren(...found.odds.map(([name, share]) => {
    const item = document.createElement("li"), bar = document.createElement("i");
    const part = bar.appendChild(document.createElement("b"));
    part.style.width = `${100 * share}%`;
    bar.setAttribute("aria-hidden", "true");
    const label = document.createElement("span"), number = document.createElement("span");
    label.textContent = name;
    number.textContent = `${(100 * share).toFixed(1)} %`;
    item.append(label, bar, number);
    return item;
  }));
  found.layers.forEach((source, place) => { $("layers").children[place].querySelector("img").src = source; });
  if (found.layer) {
    picture($("maps"), found.layer.picture, `Feature maps of ${found.layer.words}`);
    $("maps-words").textContent = found.layer.words;
  }
  tell(best ? `${best[0]}, ${Math.round(100 * best[1])} %` : "The model has no classes; its layers are shown.");
}

// The answer is told once the picture rests, so that a screen reader is not flooded while one draws.
function tell(words) {
  $("answer").setAttribute("aria-live", "off");
  $("answer").textContent = words;
  clearTimeout(timer);
  timer = setTimeout(() => {
    $("answer").setAttribute("aria-live", "polite");
    if (words !== told) { $("answer").textContent = ""; $("answer").textContent = told = words; }
  }, 500);
}

async function tryMoves() {
  if (state.empty) { $("moves-words").textContent = "Draw something first, or choose a sample."; return; }
  $("try").disabled = true;
  try {
    const found = await ask("moves", question());
    $("moves-words").textContent = found.words;
    drawShifts($("shifts"), found);
    drawTurns($("turns"), found);
  } catch (error) {
    $("moves-words").textContent = `It did not work: ${error.message}`;
  }
  $("try").disabled = false;
  $("try").focus();
}

const shade = (same, share) => same ? `hsl(48 95% ${35 + 25 * share}%)` : "hsl(220 40% 22%)";

function cross(pen, x, y, size) {
  pen.strokeStyle = "hsl(220 30% 60%)";
  pen.beginPath();
  pen.moveTo(x, y); pen.lineTo(x + size, y + size); pen.moveTo(x + size, y); pen.lineTo(x, y + size);
  pen.stroke();
}

function drawShifts(canvas, found) {
  const cell = 20, count = found.shifts.length, pen = canvas.getContext("2d");
  canvas.width = canvas.height = cell * count;
  found.shifts.forEach((row, y) => row.forEach(([same, share], x) => {
    pen.fillStyle = shade(same, share);
    pen.fillRect(x * cell, y * cell, cell - 1, cell - 1);
    if (!same) cross(pen, x * cell + 6, y * cell + 6, cell - 13);
  }));
  const middle = (count - 1) / 2 * cell;
  pen.strokeStyle = "#fff"; pen.lineWidth = 3;
  pen.strokeRect(middle + 1, middle + 1, cell - 3, cell - 3);
  canvas.setAttribute("aria-label", found.words);
  canvas.hidden = false;
}

function drawTurns(canvas, found) {
  const wide = 12, high = 220, pen = canvas.getContext("2d");
  canvas.width = wide * found.turns.length; canvas.height = high;
  found.turns.forEach(([, same, share], x) => {
    const tall = 12 + share * (high - 16);
    pen.fillStyle = shade(same, share);
    pen.fillRect(x * wide, high - tall, wide - 1, tall);
    if (!same) cross(pen, x * wide + 2, high - 10, 7);
  });
  canvas.setAttribute("aria-label", found.words);
  canvas.hidden = false;
}

// -- drawing -----------------------------------------------------------------------------------

function source(kind, sample = null) {
  if (kind !== "photo") stopCamera();
  if (state.kind === "photo" && kind === "drawing" || state.sample !== null && sample === null) wipe();
  state.kind = kind; state.sample = sample; state.empty = false;
  document.querySelectorAll("#samples button").forEach((button, place) =>
    button.setAttribute("aria-pressed", String(place === sample)));
}

function wipe() {
  ink.fillStyle = "#000";
  ink.fillRect(0, 0, board.width, board.height);
}

function clear() {
  stopCamera();
  wipe();
  Object.assign(state, { kind: "drawing", sample: null, empty: true });
  document.querySelectorAll("#samples button").forEach((button) => button.setAttribute("aria-pressed", "false"));
  for (const name of ["seen", "cam", "maps"]) $(name).hidden = true;
  document.querySelectorAll("#layers img").forEach((image) => image.removeAttribute("src"));
  $("odds").replaceChildren();
  $("shifts").hidden = $("turns").hidden = true;
  $("moves-words").textContent = "";
  told = null;
  tell("Cleared. Draw something, or choose a sample.");
}

function line(from, to) {
  source("drawing");
  ink.strokeStyle = "#fff"; ink.lineCap = ink.lineJoin = "round"; ink.lineWidth = board.width * 0.11;
  ink.beginPath();
  ink.moveTo(from.x * board.width, from.y * board.height);
  ink.lineTo(to.x * board.width + 0.01, to.y * board.height);
  ink.stroke();
  update();
}

function place(event) {
  const box = board.getBoundingClientRect();
  return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
}

let last = null;
board.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  board.setPointerCapture(event.pointerId);
  last = place(event);
  line(last, last);
});
board.addEventListener("pointermove", (event) => {
  if (!last) return;
  const here = place(event);
  line(last, here);
  last = here;
});
for (const name of ["pointerup", "pointercancel"]) board.addEventListener(name, () => { last = null; });

function showPen() {
  $("pen").hidden = document.activeElement !== board || !board.matches(":focus-visible");
  $("pen").style.left = `${100 * keys.x}%`;
  $("pen").style.top = `${100 * keys.y}%`;
  $("pen").classList.toggle("down", keys.down);
}

board.addEventListener("focus", showPen);
board.addEventListener("blur", () => { keys.down = false; showPen(); });
board.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (steps) {
    const from = { ...keys }, inside = (value) => Math.min(1 - 1 / GRID, Math.max(1 / GRID, value));
    keys.x = inside(keys.x + steps[0] / GRID);
    keys.y = inside(keys.y + steps[1] / GRID);
    if (keys.down) line(from, keys);
  } else if (event.key === " ") {
    keys.down = !keys.down;
    if (keys.down) line(keys, keys);
    tell(keys.down ? "Pen down." : "Pen up.");
    if (!keys.down) update();
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clear();
  } else return;
  event.preventDefault();
  showPen();
});

// -- pictures and the camera -------------------------------------------------------------------

function cover(image, width, height) {
  const scale = Math.max(board.width / width, board.height / height);
  ink.drawImage(image, (board.width - width * scale) / 2, (board.height - height * scale) / 2, width * scale, height * scale);
}

async function open(file) {
  if (!file) return;
  try {
    const image = await createImageBitmap(file);
    source("photo");
    stopCamera();
    wipe();
    cover(image, image.width, image.height);
    update();
  } catch {
    $("answer").textContent = "This file is no picture that the browser can show.";
  }
}

function stopCamera() {
  if (!camera) return;
  camera.stream.getTracks().forEach((track) => track.stop());
  clearInterval(camera.timer);
  camera = null;
  $("camera").setAttribute("aria-pressed", "false");
}

async function toggleCamera() {
  if (camera) { stopCamera(); return; }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    const video = document.createElement("video");
    Object.assign(video, { srcObject: stream, muted: true, playsInline: true });
    await video.play();
    source("photo");
    camera = { stream, timer: setInterval(() => { cover(video, video.videoWidth, video.videoHeight); update(); }, 150) };
    $("camera").setAttribute("aria-pressed", "true");
  } catch (error) {
    $("answer").textContent = `The camera cannot be used: ${error.message}`;
  }
}

// -- beginning ---------------------------------------------------------------------------------

async function chooseSample(number) {
  source("sample", number);
  update();
  const image = new Image();
  image.src = model.samples[number].picture;
  await image.decode();
  if (state.sample !== number) return;
  wipe();
  ink.imageSmoothingEnabled = false;
  ink.drawImage(image, 0, 0, board.width, board.height);
  ink.imageSmoothingEnabled = true;
}

function button(words, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.setAttribute("aria-pressed", "false");
  made.append(...words);
  made.addEventListener("click", act);
  return made;
}

function layerButton(layer, number) {
  const image = document.createElement("img"), name = document.createElement("span");
  image.alt = "";
  name.textContent = `${layer.name} (${layer.kind}) ${layer.shape.join("×")}`;
  const made = button([image, name], () => {
    state.layer = layer.name;
    document.querySelectorAll("#layers button").forEach((other, place) =>
      other.setAttribute("aria-pressed", String(place === number)));
    $("maps-words").textContent = state.empty ? `${layer.name}: draw something to see its maps.` : layer.name;
    update();
  });
  const item = document.createElement("li");
  item.append(made);
  return item;
}

async function begin() {
  model = await ask("model");
  document.title = `${model.name} – cnncore explore`;
  $("title").textContent = model.name;
  const [channels, height, width] = model.image;
  $("about").textContent = `${model.kind}: ${height} × ${width} ${channels === 1 ? "grey" : "colour"} images, ` +
    `${model.classes.length || "no"} classes`;
  board.width = board.height = model.side;
  wipe();
  for (const [name, extent] of [["right", width], ["down", height]]) {
    const reach = Math.max(1, Math.floor(extent / 2));
    Object.assign($(name), { min: -reach, max: reach, step: Math.max(1, Math.round(extent / 64)), value: 0 });
  }
  $("samples").hidden = !model.samples.length;
  $("samples").lastElementChild.append(...model.samples.map(({ label }, number) => {
    const made = button([label], () => chooseSample(number));
    made.setAttribute("aria-label", `Sample ${label}`);
    return made;
  }));
  $("layers").append(...model.layers.map(layerButton));
  for (const name of SLIDERS) $(name).addEventListener("input", () => {
    $(`${name}-value`).textContent = $(name).value;
    update();
  });
  $("reset").addEventListener("click", () => {
    for (const name of SLIDERS) { $(name).value = 0; $(`${name}-value`).textContent = "0"; }
    update();
  });
  $("clear").addEventListener("click", clear);
  $("centre").addEventListener("change", update);
  $("file").addEventListener("change", (event) => { open(event.target.files[0]); event.target.value = ""; });
  $("camera").addEventListener("click", toggleCamera);
  $("try").addEventListener("click", tryMoves);
  document.addEventListener("dragover", (event) => { event.preventDefault(); $("board").classList.add("drop"); });
  document.addEventListener("dragleave", () => $("board").classList.remove("drop"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("board").classList.remove("drop");
    open(event.dataTransfer.files[0]);
  });
}

begin().catch((error) => { $("about").textContent = `It did not work: ${error.message}`; });
