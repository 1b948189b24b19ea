// The viewer by keyboard. The help dialog lists each of these keys; a test compares the two.

const TEN = 10;

/** Keys that mean something anywhere on the page. */
export const ANYWHERE = {
  h: (viewer) => viewer.toggleOverlay(),
  "<": (viewer) => viewer.opacityBy(-TEN),
  ">": (viewer) => viewer.opacityBy(TEN),
  e: (viewer) => viewer.nextEvidence(),
  i: (viewer) => viewer.nextStack(),
  w: (viewer) => viewer.nextPreset(),
  "[": (viewer) => viewer.windowFrom(viewer.window, -TEN, 0),
  "]": (viewer) => viewer.windowFrom(viewer.window, TEN, 0),
  "{": (viewer) => viewer.windowFrom(viewer.window, 0, -TEN),
  "}": (viewer) => viewer.windowFrom(viewer.window, 0, TEN),
  ",": (viewer) => viewer.chooseFrame(viewer.frameIndex - 1),
  ".": (viewer) => viewer.chooseFrame(viewer.frameIndex + 1),
  "+": (viewer) => viewer.zoomBy(1.25),
  "-": (viewer) => viewer.zoomBy(0.8),
  0: (viewer) => viewer.fit(),
};

/** Keys that scroll elsewhere: they are the viewer's where the picture has the focus, or nothing has. */
export const ON_THE_PICTURE = {
  ArrowUp: (viewer) => viewer.chooseFrame(viewer.frameIndex - 1),
  ArrowDown: (viewer) => viewer.chooseFrame(viewer.frameIndex + 1),
  PageUp: (viewer) => viewer.chooseFrame(viewer.frameIndex - TEN),
  PageDown: (viewer) => viewer.chooseFrame(viewer.frameIndex + TEN),
  Home: (viewer) => viewer.chooseFrame(0),
  End: (viewer) => viewer.chooseFrame(viewer.stack.frames.length - 1),
};

const STEP = 40;
/** With Shift on the picture: it moves that way. */
const MOVES = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

/** Answers a key; true where it meant something. */
export function viewerKey(viewer, event) {
  const onPicture = event.target.matches("body, h1, canvas");
  const move = event.shiftKey && onPicture ? MOVES[event.key] : null;
  if (move) viewer.screen.panBy(...move);
  else if (Object.hasOwn(ANYWHERE, event.key)) ANYWHERE[event.key](viewer);
  else if (onPicture && Object.hasOwn(ON_THE_PICTURE, event.key)) ON_THE_PICTURE[event.key](viewer);
  else return false;
  return true;
}
