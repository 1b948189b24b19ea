// Wires the page: once at load, and again for what htmx puts in place.

import { listKey, submitOnChange } from "./case_list.js";
import { reviewKey, startReview } from "./review.js";
import { Viewer } from "./viewer.js";

let viewer = null;

function start() {
  viewer?.close();
  const root = document.querySelector("[data-stacks]");
  viewer = root ? new Viewer(root) : null;
  const form = document.querySelector("[data-review]");
  if (form) startReview(form);
}

function typing(target) {
  return target.matches("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=range])");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (event.key === "h" && viewer) viewer.toggleOverlay();
  else if (!reviewKey(event.key) && !listKey(event.key)) return;
  event.preventDefault();
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (document.getElementById("case") && event.detail.target.id === "case") start();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  // An error comes as a whole page: show it instead of dropping it.
  if (event.detail.xhr.status >= 400) {
    event.detail.shouldSwap = true;
    event.detail.target = document.getElementById("main");
    event.detail.selectOverride = "#main > *";
    event.detail.swapOverride = "innerHTML";
  }
});
submitOnChange(document);
start();
