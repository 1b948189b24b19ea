// What is on the canvas: one windowed frame, a heat map over it, where it lies and how large.

import { brightnessTable, paint } from "./windowing.js";

const LEAST_ZOOM = 0.5;
const MOST_ZOOM = 16;

export class Screen {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.picture = document.createElement("canvas"); // the windowed frame at its own size
    this.zoom = 1;
    this.shift = { x: 0, y: 0 }; // of the picture's middle from the canvas' middle, CSS pixels
    this.opacity = 0.55;
    this.frame = this.heat = null;
  }

  /** Shows a frame of stored values through a window; ``tall`` is the height of a pixel over its width. */
  show(frame, window, tall, heat) {
    Object.assign(this, { frame, tall, heat });
    const { pixels, rows, columns, slope, intercept } = frame;
    const table = brightnessTable(slope, intercept, window.center, window.width);
    Object.assign(this.picture, { width: columns, height: rows });
    const context = this.picture.getContext("2d");
    context.putImageData(paint(pixels, table, context.createImageData(columns, rows)), 0, 0);
    this.draw();
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.context.clearRect(0, 0, width, height);
    if (!this.frame || !width || !height) return;
    const [columns, rows] = [this.frame.columns, this.frame.rows * this.tall];
    const scale = Math.min(width / columns, height / rows) * this.zoom;
    const left = (width - columns * scale) / 2 + this.shift.x * ratio;
    const top = (height - rows * scale) / 2 + this.shift.y * ratio;
    const box = [left, top, columns * scale, rows * scale];
    this.context.imageSmoothingEnabled = scale < 4; // from there on a reader looks at single pixels
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(this.picture, ...box);
    if (this.heat) {
      this.context.globalAlpha = this.opacity;
      this.context.imageSmoothingEnabled = true;
      this.context.drawImage(this.heat, ...box);
      this.context.globalAlpha = 1;
    }
    this.canvas.dataset.drawn = this.heat ? "overlay" : "plain";
    this.canvas.toggleAttribute("data-zoomed", this.zoom !== 1 || this.shift.x !== 0 || this.shift.y !== 0);
  }

  fit() {
    this.zoom = 1;
    this.shift = { x: 0, y: 0 };
    this.draw();
  }

  /** Zooms so that what lies under ``at`` (CSS pixels of the window) stays there; the middle where none is given. */
  zoomBy(factor, at = null) {
    const zoom = Math.min(Math.max(this.zoom * factor, LEAST_ZOOM), MOST_ZOOM);
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = at ? [at.x - box.left - box.width / 2, at.y - box.top - box.height / 2] : [0, 0];
    const change = zoom / this.zoom;
    this.shift = { x: x - (x - this.shift.x) * change, y: y - (y - this.shift.y) * change };
    this.zoom = zoom;
    this.draw();
  }

  panBy(dx, dy) {
    this.shift = { x: this.shift.x + dx, y: this.shift.y + dy };
    this.draw();
  }
}
