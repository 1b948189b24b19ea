// Wires the page: once at load, and again for what is put in place.

import { listKey, submitOnChange } from "./case_list.js";
import { CaseWalk } from "./case_walk.js";
import { FrameStore } from "./frames.js";
import { reviewKey, startReview } from "./review.js";
import { watchRun } from "./run_watch.js";
import { reason } from "./refusal.js";
import { openHelp, singleKeysOn } from "./shortcuts.js";
import { Viewer } from "./viewer.js";
import { viewerKey } from "./viewer_keys.js";

const store = new FrameStore();
const walk = new CaseWalk(store, start);
let viewer = null;
let caseId = null;

function start() {
  const shown = document.getElementById("case")?.dataset.case;
  const before = shown === caseId ? viewer : null; // an explanation came: the reader's view goes on
  caseId = shown;
  viewer?.close();
  const root = document.querySelector("[data-stacks]");
  viewer = root ? new Viewer(root, store, before) : null;
  const form = document.querySelector("[data-review]");
  if (form) {
    startReview(form);
    form.addEventListener("change", () => walk.prepare()); // after a long look the next case may be stale
  }
  if (!root) walk.prepare();
}

function typing(target) {
  return target.matches("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=range])");
}

function pageKey(event) {
  if (event.key === "?") return openHelp();
  if (event.key === "m") return focusOn("[data-methods]");
  if (viewer && viewerKey(viewer, event)) return true;
  const next = document.getElementById("case")?.dataset.next;
  if (event.key === "n" && next) walk.go(next);
  else return reviewKey(event.key) || listKey(event.key);
  return true;
}

function focusOn(selector) {
  document.querySelector(selector)?.focus();
  return document.querySelector(selector) !== null;
}

/** A part that the page fetches by itself did not come: it says why in its place, and the rest stays as it is. */
function stillWaiting(part, why) {
  part.querySelector("[data-waits]")?.replaceChildren(why);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || event.target.closest("dialog[open]")) return;
  if (event.key.length === 1 && event.key !== "?" && !singleKeysOn()) return;
  if (pageKey(event)) event.preventDefault();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) openHelp();
  else walk.click(event);
});
document.addEventListener("painted", () => walk.prepare());
document.addEventListener("htmx:afterRequest", (event) => {
  const { requestConfig, successful } = event.detail;
  const address = document.getElementById("case")?.dataset.address; // a withdrawal is posted to the review, not to the case
  if (successful && requestConfig.verb === "post" && address) walk.changed(address);
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (!document.getElementById("case") || event.detail.target.id !== "case") return;
  walk.readdress();
  start();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, requestConfig, target } = event.detail;
  if (xhr.status < 400) return;
  if (requestConfig.verb === "get") return stillWaiting(target, reason(xhr.responseText, xhr.status));
  // What somebody asked for was refused, and that comes as a whole page: show it instead of dropping it.
  event.detail.shouldSwap = true;
  event.detail.target = document.getElementById("main");
  event.detail.selectOverride = "#main > *";
  event.detail.swapOverride = "innerHTML";
});
document.addEventListener("htmx:sendError", (event) => {
  if (event.detail.requestConfig.verb === "get") stillWaiting(event.detail.target, "the server did not answer");
});
submitOnChange(document);
watchRun(document.getElementById("run"));
start();
