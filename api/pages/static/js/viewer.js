// The image viewer: a raw frame on a canvas, windowed here, with the explanation's heat map over it when asked for.

import { around, evidence, middle, opening } from "./frames.js";
import { bindGestures } from "./gestures.js";
import { Screen } from "./screen.js";
import { presets } from "./windowing.js";

const PATIENCE = 150; // milliseconds before it says that it loads

function loadImage(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the heat map did not come"));
    image.src = address;
  });
}

export class Viewer {
  /** ``before`` is another viewer of the same case, whose view goes on; ``store`` outlives both. */
  constructor(root, store, before = null) {
    this.root = root;
    this.store = store;
    this.stacks = JSON.parse(root.dataset.stacks);
    this.evidence = evidence(this.stacks);
    this.find = (name) => root.querySelector(`[data-${name}]`);
    this.canvas = this.find("canvas");
    this.screen = new Screen(this.canvas);
    this.listening = new AbortController();
    this.bind();
    this.resizing = new ResizeObserver(() => this.screen.draw());
    this.resizing.observe(this.canvas);
    const start = before ? { stack: before.stackIndex, frame: before.frameIndex } : opening(this.stacks);
    this.chooseStack(start.stack, start.frame);
    if (before) this.goOnFrom(before);
  }

  goOnFrom(before) {
    this.window = before.window;
    this.screen.zoom = before.screen.zoom;
    this.screen.shift = before.screen.shift;
    this.find("opacity").value = before.find("opacity").value;
    this.find("overlay").checked = before.find("overlay").checked && !this.find("overlay").disabled;
    this.opacityBy(0);
    this.showFrame();
  }

  /** Let go of what outlives the elements. */
  close() {
    clearTimeout(this.waiting);
    this.listening.abort();
    this.resizing.disconnect();
  }

  bind() {
    const on = (element, event, act, options = {}) =>
      element.addEventListener(event, act, { ...options, signal: this.listening.signal });
    const click = (name, act) => on(this.find(name), "click", act);
    if (this.find("stack")) on(this.find("stack"), "change", (e) => this.chooseStack(Number(e.target.value)));
    on(this.find("frame"), "input", (e) => this.chooseFrame(Number(e.target.value)));
    on(this.find("preset"), "change", (e) => this.usePreset(Number(e.target.value)));
    for (const name of ["center", "width"]) on(this.find(name), "change", () => this.readWindow());
    on(this.find("overlay"), "change", () => this.showFrame());
    on(this.find("opacity"), "input", () => this.opacityBy(0));
    click("evidence", () => this.nextEvidence());
    click("zoom-in", () => this.zoomBy(1.25));
    click("zoom-out", () => this.zoomBy(0.8));
    click("fit", () => this.fit());
    bindGestures(this, this.canvas, on);
  }

  get stack() { return this.stacks[this.stackIndex]; }
  get place() { return this.stack.frames[this.frameIndex]; }

  chooseStack(index, frame = middle(this.stacks[index])) {
    this.stackIndex = index;
    if (this.find("stack")) this.find("stack").value = index;
    const { stack } = this;
    this.frame = this.screen.frame = null;
    this.window = { center: stack.center, width: stack.width };
    this.find("frames").hidden = stack.frames.length === 1;
    this.find("frame").max = stack.frames.length - 1;
    this.find("overlay").disabled = this.find("opacity").disabled = !this.evidence.length;
    if (!this.evidence.length) this.find("overlay").checked = false;
    this.options = presets(stack, stack.range);
    this.find("preset").replaceChildren(...this.options.map((p, i) => new Option(p.name, i)), new Option("Own", -1));
    this.mark();
    this.fit();
    this.chooseFrame(frame);
  }

  nextStack() {
    if (this.stacks.length > 1) this.chooseStack((this.stackIndex + 1) % this.stacks.length);
  }

  /** Marks over the slider where this stack has evidence: the stronger, the taller. */
  mark() {
    const count = this.stack.frames.length;
    const marks = this.evidence.filter(({ stack }) => stack === this.stackIndex).map(({ frame, rank }) => {
      const mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const height = 8 - (6 * rank) / this.evidence.length;
      const at = { x: (frame / Math.max(count - 1, 1)) * 996, y: 8 - height, width: 4, height };
      for (const [name, value] of Object.entries(at)) mark.setAttribute(name, value);
      return mark;
    });
    this.find("marks").replaceChildren(...marks);
  }

  /** Goes to the next place with evidence, the strongest first, and round again. */
  nextEvidence() {
    if (!this.evidence.length) return;
    const here = this.evidence.findIndex(({ stack, frame }) => stack === this.stackIndex && frame === this.frameIndex);
    const { stack, frame } = this.evidence[(here + 1) % this.evidence.length];
    if (stack === this.stackIndex) this.chooseFrame(frame);
    else this.chooseStack(stack, frame);
  }

  tellEvidence() {
    const here = this.evidence.findIndex(({ stack, frame }) => stack === this.stackIndex && frame === this.frameIndex);
    this.find("evidence").hidden = !this.evidence.length;
    this.find("evidence-place").textContent = `${here < 0 ? "–" : here + 1} / ${this.evidence.length}`;
  }

  chooseFrame(index) {
    const wanted = Math.min(Math.max(index, 0), this.stack.frames.length - 1);
    this.direction = wanted < this.frameIndex ? -1 : 1;
    this.frameIndex = wanted;
    this.find("frame").value = wanted;
    this.find("frame-number").textContent = `${wanted + 1} / ${this.stack.frames.length}`;
    this.tellEvidence();
    return this.showFrame();
  }

  async showFrame() {
    const { place } = this;
    const { frames } = this.stack;
    const says = this.find("loading");
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => Object.assign(says, { hidden: false, textContent: "Loading …" }), PATIENCE);
    try {
      const neighbours = around(this.frameIndex, frames.length, this.direction).map((n) => frames[n].raw);
      const frame = await this.store.aim(place.raw, neighbours);
      const heat = this.find("overlay").checked && place.heatmap ? await this.heatOf(place) : null;
      if (place !== this.place) return; // another one was asked for meanwhile
      clearTimeout(this.waiting);
      says.hidden = true;
      this.frame = frame;
      this.heat = heat;
      this.canvas.dataset.frame = this.frameIndex;
      this.rewindow();
      this.root.dispatchEvent(new CustomEvent("painted", { bubbles: true }));
    } catch (error) {
      if (place !== this.place) return;
      clearTimeout(this.waiting);
      delete place.heatImage; // so that choosing it again asks again
      Object.assign(says, { hidden: false, textContent: error.message });
    }
  }

  heatOf(place) {
    place.heatImage ??= loadImage(place.heatmap);
    return place.heatImage;
  }

  rewindow() {
    if (!this.frame) return;
    this.screen.show(this.frame, this.window, this.stack.aspect || 1, this.heat);
    this.find("legend").hidden = !this.heat;
    this.find("corner").textContent = `${this.frame.columns} × ${this.frame.rows}`;
    this.tellWindow();
    this.tellZoom();
  }

  tellWindow() {
    const short = (value) => Number(value.toPrecision(6));
    this.find("center").value = short(this.window.center);
    this.find("width").value = short(this.window.width);
    const same = (p) => Math.abs(p.center - this.window.center) < 1e-6 && Math.abs(p.width - this.window.width) < 1e-6;
    this.find("preset").value = String(this.options.findIndex(same));
  }

  tellZoom() { this.find("zoom").textContent = `${Math.round(this.screen.zoom * 100)} %`; }

  usePreset(index) {
    const preset = this.options[index];
    if (!preset) return;
    this.window = { center: preset.center, width: preset.width };
    this.rewindow();
  }

  nextPreset() { this.usePreset((Number(this.find("preset").value) + 1) % this.options.length); }

  readWindow() {
    const center = Number(this.find("center").value);
    const width = Number(this.find("width").value);
    if (Number.isFinite(center) && width > 0) this.window = { center, width };
    this.rewindow();
  }

  /** The window ``from``, its width moved by ``dx`` pixels of the mouse and its level by ``dy``. */
  windowFrom(from, dx, dy) {
    const span = this.stack.range[1] - this.stack.range[0] || 1;
    const step = Math.min(span, from.width * 4) / 600;
    this.window = { center: from.center + dy * step, width: Math.max(from.width + dx * step, span / 4096) };
    this.rewindow();
  }

  opacityBy(change) {
    const slider = this.find("opacity");
    slider.value = Number(slider.value) + change;
    this.screen.opacity = Number(slider.value) / 100;
    this.screen.draw();
  }

  toggleOverlay() {
    const box = this.find("overlay");
    if (!box.disabled) box.click();
  }

  fit() {
    this.screen.fit();
    this.tellZoom();
  }

  zoomBy(factor, at = null) {
    this.screen.zoomBy(factor, at);
    this.tellZoom();
  }
}
