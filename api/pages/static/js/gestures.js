// Mouse, wheel and fingers on the picture.

const NOTCH = 40; // wheel pixels of a frame: a mouse's notch is one step, a touch pad scrolls in small parts

/** Binds them to a viewer; ``on`` adds a listener that ends with it. */
export function bindGestures(viewer, canvas, on) {
  const fingers = new Map();
  let grabbed = null;
  let scrolled = 0;

  on(canvas, "pointerdown", (event) => {
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    canvas.setPointerCapture(event.pointerId);
    const pans = event.pointerType === "touch" || event.button !== 0 || event.shiftKey;
    grabbed = { x: event.clientX, y: event.clientY, pans, window: { ...viewer.window } };
  });
  on(canvas, "pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    if (fingers.size === 2) pinch([...fingers].find(([id]) => id !== event.pointerId)[1], before, now);
    else if (grabbed.pans) viewer.screen.panBy(now.x - before.x, now.y - before.y);
    else viewer.windowFrom(grabbed.window, now.x - grabbed.x, now.y - grabbed.y);
    fingers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) on(canvas, end, (event) => fingers.delete(event.pointerId));

  function pinch(other, before, now) {
    const span = (from) => Math.hypot(from.x - other.x, from.y - other.y);
    viewer.screen.panBy((now.x - before.x) / 2, (now.y - before.y) / 2);
    viewer.zoomBy(span(now) / Math.max(span(before), 1), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
  }

  on(canvas, "wheel", (event) => {
    event.preventDefault();
    if (viewer.stack.frames.length === 1 || event.ctrlKey) {
      viewer.zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1, { x: event.clientX, y: event.clientY });
      return;
    }
    scrolled = Math.sign(scrolled) === Math.sign(event.deltaY) ? scrolled + event.deltaY : event.deltaY;
    if (event.deltaMode === 0 && Math.abs(scrolled) < NOTCH) return;
    viewer.chooseFrame(viewer.frameIndex + Math.sign(scrolled));
    scrolled = 0;
  }, { passive: false });
  on(canvas, "dblclick", () => viewer.fit());
  on(canvas, "contextmenu", (event) => event.preventDefault());
}
