// From case to case without loading a page: the next one is fetched while a reader looks at this one.
// What was fetched stays in memory: a page with a patient's text is never put into the browser's storage.

import { opening } from "./frames.js";

const FRESH = 60_000; // milliseconds after which a page that was fetched ahead is fetched anew

export class CaseWalk {
  /** ``start`` wires what was put in place. */
  constructor(store, start) {
    this.store = store;
    this.start = start;
    this.next = null; // { address, fetched, page: Promise<Document> }
    this.shown = location.pathname + location.search;
    this.saved = new BroadcastChannel("clinical_mm.saved"); // a review saved in another tab
    this.saved.addEventListener("message", ({ data }) => this.forget(data));
    window.addEventListener("popstate", () => this.back());
  }

  /** Fetch the next case once the browser has nothing else to do. */
  prepare() {
    const address = document.getElementById("case")?.dataset.next;
    if (!address || this.fresh(address)) return;
    const idle = window.requestIdleCallback ?? ((act) => setTimeout(act, 100));
    idle(() => {
      if (this.fresh(address)) return;
      const next = { address, fetched: Date.now(), page: this.fetch(address) };
      this.next = next;
      // What follows the page is not waited for: who goes there earlier sees it come. Where it fails, going there tells.
      next.page.then((page) => Promise.all([this.firstFrame(page), this.parts(page)]))
        .catch(() => { if (this.next === next) this.next = null; });
    });
  }

  fresh(address) {
    return this.next !== null && this.next.address === address && Date.now() - this.next.fetched < FRESH;
  }

  /** Something was saved at ``address``: what was fetched of that case before is out of date. */
  changed(address) {
    this.saved.postMessage(address);
    this.forget(address);
  }

  forget(address) {
    const path = this.next && new URL(this.next.address, location.origin).pathname;
    if (path && address.startsWith(path)) this.next = null;
  }

  async fetch(address) {
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) throw new Error(`the page did not come: ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("case")) throw new Error("the page holds no case");
    return page;
  }

  firstFrame(page) {
    const viewer = page.querySelector("[data-stacks]");
    if (!viewer) return null;
    const stacks = JSON.parse(viewer.dataset.stacks);
    const { stack, frame } = opening(stacks);
    return this.store.reserve(stacks[stack].frames[frame].raw);
  }

  /** The parts that the page would ask for at once. */
  async parts(page) {
    for (const part of page.querySelectorAll("[hx-trigger=load]")) {
      const answer = await fetch(part.getAttribute("hx-get"), { credentials: "same-origin" });
      const text = await answer.text();
      if (answer.ok && part.ownerDocument === page) part.outerHTML = text; // else it is shown already, and asks itself
    }
  }

  /** Show a case; where that fails the browser goes there itself, and the server tells why. */
  async go(address, { pushes = true } = {}) {
    const next = this.fresh(address) ? this.next : { page: this.fetch(address) };
    this.next = null;
    this.wanted = address;
    let page;
    try {
      page = await next.page;
    } catch {
      location.assign(address);
      return;
    }
    if (this.wanted !== address) return; // another one was asked for meanwhile
    if (pushes) history.pushState(null, "", address);
    this.show(page, address);
  }

  show(page, address) {
    this.shown = address;
    document.title = page.title;
    document.body.className = page.body.className;
    document.querySelector(".banner")?.remove();
    const main = document.adoptNode(page.getElementById("main"));
    const banner = page.querySelector(".banner");
    document.getElementById("main").replaceWith(main);
    if (banner) main.before(document.adoptNode(banner));
    window.htmx.process(main);
    window.scrollTo(0, 0);
    const title = main.querySelector("h1");
    title.tabIndex = -1;
    title.focus({ preventScroll: true }); // a screen reader reads it; the next Tab goes on from here
    this.start();
  }

  back() {
    const address = location.pathname + location.search;
    if (address !== this.shown) this.go(address, { pushes: false });
  }

  /** What htmx put in place may be at another address: its target and method. */
  readdress() {
    const address = document.getElementById("case")?.dataset.address;
    if (!address || address === this.shown) return;
    this.shown = address;
    history.replaceState(null, "", address);
  }

  /** Answers a click on a link from case to case. */
  click(event) {
    const link = event.target.closest("a[data-walk]");
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.go(link.getAttribute("href"));
  }
}
