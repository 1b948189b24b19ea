// The image viewer: a raw frame on a canvas, windowed here, with the explanation's heat map over it when asked for.

import { brightnessTable, paint, presets } from "./windowing.js";

const KEPT_FRAMES = 40;

/** One frame's stored values and what they mean, as the server sends them. */
async function fetchFrame(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`the image did not come: ${answer.status}`);
  const number = (name) => Number(answer.headers.get(name));
  return {
    pixels: new Uint16Array(await answer.arrayBuffer()),
    rows: number("X-Rows"), columns: number("X-Columns"), slope: number("X-Slope"), intercept: number("X-Intercept"),
  };
}

function loadImage(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the heat map did not come"));
    image.src = address;
  });
}

export class Viewer {
  constructor(root) {
    this.root = root;
    this.stacks = JSON.parse(root.dataset.stacks);
    this.find = (name) => root.querySelector(`[data-${name}]`);
    this.canvas = this.find("canvas");
    this.context = this.canvas.getContext("2d");
    this.picture = document.createElement("canvas"); // the windowed frame at its own size
    this.frames = new Map();
    this.zoom = 1;
    this.shift = { x: 0, y: 0 };
    this.listening = new AbortController();
    this.bind();
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.canvas);
    this.chooseStack(0);
  }

  /** Let go of what outlives the elements. */
  close() {
    this.listening.abort();
    this.resizing.disconnect();
  }

  on(element, event, act, options = {}) {
    element?.addEventListener(event, act, { ...options, signal: this.listening.signal });
  }

  bind() {
    this.on(this.find("stack"), "change", (e) => this.chooseStack(Number(e.target.value)));
    this.on(this.find("frame"), "input", (e) => this.chooseFrame(Number(e.target.value)));
    this.on(this.find("evidence-frame"), "click", () => this.chooseFrame(this.evidenceFrame()));
    this.on(this.find("preset"), "change", (e) => this.usePreset(Number(e.target.value)));
    for (const name of ["center", "width"]) this.on(this.find(name), "change", () => this.readWindow());
    this.on(this.find("overlay"), "change", () => this.showFrame());
    this.on(this.find("opacity"), "input", () => this.draw());
    this.on(this.find("zoom-in"), "click", () => this.zoomBy(1.25));
    this.on(this.find("zoom-out"), "click", () => this.zoomBy(0.8));
    this.on(this.find("fit"), "click", () => this.fit());
    this.on(this.canvas, "wheel", (e) => this.wheel(e), { passive: false });
    this.on(this.canvas, "pointerdown", (e) => this.grab(e));
    this.on(this.canvas, "pointermove", (e) => this.drag(e));
    this.on(this.canvas, "pointerup", () => { this.grabbed = null; });
    this.on(this.canvas, "dblclick", () => this.fit());
    this.on(this.canvas, "contextmenu", (e) => e.preventDefault());
    this.on(this.canvas, "keydown", (e) => this.key(e));
  }

  get stack() { return this.stacks[this.stackIndex]; }
  get place() { return this.stack.frames[this.frameIndex]; }

  chooseStack(index) {
    this.stackIndex = index;
    const { stack } = this;
    this.window = { center: stack.center, width: stack.width };
    const many = stack.frames.length > 1;
    this.find("frames").hidden = !many;
    this.find("frame").max = stack.frames.length - 1;
    this.find("evidence-frame").hidden = !many || this.evidenceFrame() < 0;
    const explained = stack.frames.some((f) => f.heatmap);
    this.find("overlay").disabled = this.find("opacity").disabled = !explained;
    if (!explained) this.find("overlay").checked = false;
    this.options = presets(stack, stack.range);
    this.find("preset").replaceChildren(...this.options.map((p, i) => new Option(p.name, i)), new Option("Own", -1));
    this.fit();
    const evidence = this.evidenceFrame();
    this.chooseFrame(evidence >= 0 ? evidence : Math.floor((stack.frames.length - 1) / 2));
  }

  evidenceFrame() { return this.stack.frames.findIndex((f) => f.heatmap); }

  chooseFrame(index) {
    this.frameIndex = Math.min(Math.max(index, 0), this.stack.frames.length - 1);
    this.find("frame").value = this.frameIndex;
    this.find("frame-number").textContent = `${this.frameIndex + 1} / ${this.stack.frames.length}`;
    return this.showFrame();
  }

  async showFrame() {
    const { place } = this;
    const says = this.find("loading");
    if (!this.frames.has(place.raw)) says.hidden = false;
    try {
      const frame = await this.frameOf(place);
      const heat = this.find("overlay").checked && place.heatmap ? await this.heatOf(place) : null;
      if (place !== this.place) return; // another one was asked for meanwhile
      this.frame = frame;
      this.heat = heat;
      says.hidden = true;
      this.rewindow();
      this.canvas.dataset.frame = this.frameIndex;
    } catch (error) {
      this.frames.delete(place.raw); // so that choosing it again asks again
      delete place.heatImage;
      says.textContent = error.message;
    }
  }

  frameOf(place) {
    if (!this.frames.has(place.raw)) {
      this.frames.set(place.raw, fetchFrame(place.raw));
      if (this.frames.size > KEPT_FRAMES) this.frames.delete(this.frames.keys().next().value);
    }
    return this.frames.get(place.raw);
  }

  heatOf(place) {
    place.heatImage ??= loadImage(place.heatmap);
    return place.heatImage;
  }

  rewindow() {
    if (!this.frame) return;
    const { pixels, rows, columns, slope, intercept } = this.frame;
    const table = brightnessTable(slope, intercept, this.window.center, this.window.width);
    this.picture.width = columns;
    this.picture.height = rows;
    const context = this.picture.getContext("2d");
    context.putImageData(paint(pixels, table, context.createImageData(columns, rows)), 0, 0);
    this.tellWindow();
    this.draw();
  }

  tellWindow() {
    const short = (value) => Number(value.toPrecision(6));
    this.find("center").value = short(this.window.center);
    this.find("width").value = short(this.window.width);
    const same = (p) => Math.abs(p.center - this.window.center) < 1e-6 && Math.abs(p.width - this.window.width) < 1e-6;
    this.find("preset").value = String(this.options.findIndex(same));
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.context.clearRect(0, 0, width, height);
    if (!this.frame || !width || !height) return;
    const tall = this.stack.aspect || 1; // height of a pixel over its width
    const { columns } = this.frame;
    const rows = this.frame.rows * tall;
    const scale = Math.min(width / columns, height / rows) * this.zoom;
    const box = [(width - columns * scale) / 2 + this.shift.x * ratio, (height - rows * scale) / 2 + this.shift.y * ratio, columns * scale, rows * scale];
    this.context.imageSmoothingEnabled = scale < 4;
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(this.picture, ...box);
    if (this.heat) {
      this.context.globalAlpha = Number(this.find("opacity").value) / 100;
      this.context.imageSmoothingEnabled = true;
      this.context.drawImage(this.heat, ...box);
      this.context.globalAlpha = 1;
    }
    this.find("legend").hidden = !this.heat;
    this.find("zoom").textContent = `${Math.round(this.zoom * 100)} %`;
    this.find("corner").textContent = `${this.frame.columns} × ${this.frame.rows}`;
    this.canvas.dataset.drawn = this.heat ? "overlay" : "plain";
  }

  usePreset(index) {
    const preset = this.options[index];
    if (!preset) return;
    this.window = { center: preset.center, width: preset.width };
    this.rewindow();
  }

  readWindow() {
    const center = Number(this.find("center").value);
    const width = Number(this.find("width").value);
    if (Number.isFinite(center) && width > 0) this.window = { center, width };
    this.rewindow();
  }

  fit() {
    this.zoom = 1;
    this.shift = { x: 0, y: 0 };
    this.draw();
  }

  zoomBy(factor) {
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.5), 16);
    this.draw();
  }

  wheel(event) {
    event.preventDefault();
    if (this.stack.frames.length > 1 && !event.ctrlKey) this.chooseFrame(this.frameIndex + Math.sign(event.deltaY));
    else this.zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }

  grab(event) {
    const pans = event.button !== 0 || event.shiftKey;
    this.grabbed = { x: event.clientX, y: event.clientY, window: { ...this.window }, shift: { ...this.shift }, pans };
    this.canvas.setPointerCapture(event.pointerId);
  }

  drag(event) {
    const from = this.grabbed;
    if (!from) return;
    const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
    if (from.pans) {
      this.shift = { x: from.shift.x + dx, y: from.shift.y + dy };
      this.draw();
      return;
    }
    const span = this.stack.range[1] - this.stack.range[0] || 1;
    const step = Math.min(span, from.window.width * 4) / 600;
    this.window = { center: from.window.center + dy * step, width: Math.max(from.window.width + dx * step, span / 4096) };
    this.rewindow();
  }

  key(event) {
    const acts = {
      ArrowUp: () => this.chooseFrame(this.frameIndex - 1), ArrowDown: () => this.chooseFrame(this.frameIndex + 1),
      "+": () => this.zoomBy(1.25), "-": () => this.zoomBy(0.8), 0: () => this.fit(),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  toggleOverlay() {
    const box = this.find("overlay");
    if (!box.disabled) box.click();
  }
}
