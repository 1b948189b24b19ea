// Frames of raw pixels: the one asked for first, its neighbours ahead of time, the memory they take bounded.

import { reason } from "./refusal.js";

const MOST_BYTES = 160 * 2 ** 20;
const AT_ONCE = 4; // a browser gives a host six connections: two stay free for what is asked for next
const AHEAD = 24;
const BEHIND = 6;

/** One frame's stored values and what they mean, as the server sends them. */
async function fetchFrame(address, signal) {
  const answer = await fetch(address, { credentials: "same-origin", signal });
  if (!answer.ok) throw new Error(`the image did not come: ${reason(await answer.text(), answer.status)}`);
  const number = (name) => Number(answer.headers.get(name));
  return {
    pixels: new Uint16Array(await answer.arrayBuffer()),
    rows: number("X-Rows"), columns: number("X-Columns"), slope: number("X-Slope"), intercept: number("X-Intercept"),
  };
}

export class FrameStore {
  constructor(mostBytes = MOST_BYTES) {
    this.mostBytes = mostBytes;
    this.bytes = 0;
    this.held = new Map(); // address -> frame, the one used longest ago first
    this.coming = new Map(); // address -> { promise, abort }
    this.ahead = [];
    this.reserved = null; // the next case's first frame, which no scrolling through this one drops
  }

  /** Fetch a frame for later. */
  reserve(address) {
    this.reserved = address;
    return this.load(address);
  }

  /** The promise of a frame; rejects with an AbortError where another aim made it useless. */
  load(address) {
    const frame = this.held.get(address);
    if (frame) {
      this.held.delete(address);
      this.held.set(address, frame);
      return Promise.resolve(frame);
    }
    if (!this.coming.has(address)) {
      const abort = new AbortController();
      const promise = fetchFrame(address, abort.signal).then((found) => this.keep(address, found)).finally(() => {
        if (this.coming.get(address)?.abort === abort) this.coming.delete(address);
      });
      this.coming.set(address, { promise, abort });
    }
    return this.coming.get(address).promise;
  }

  /** Ask for one frame now and for others when there is time; what neither wants any more is not waited for. */
  aim(address, ahead) {
    const wanted = new Set([address, ...ahead, this.reserved]);
    for (const [other, { abort }] of this.coming) {
      if (wanted.has(other)) continue;
      this.coming.delete(other);
      abort.abort();
    }
    this.ahead = ahead;
    const promise = this.load(address);
    this.pump();
    return promise;
  }

  pump() {
    for (const address of this.ahead) {
      if (this.coming.size >= AT_ONCE) return;
      if (this.held.has(address) || this.coming.has(address)) continue;
      const again = () => this.pump();
      this.load(address).then(again, () => { this.ahead = this.ahead.filter((other) => other !== address); });
    }
  }

  keep(address, frame) {
    this.held.set(address, frame);
    this.bytes += frame.pixels.byteLength;
    for (const [oldest, { pixels }] of this.held) {
      if (this.bytes <= this.mostBytes || oldest === address) break;
      if (oldest === this.reserved) continue;
      this.held.delete(oldest);
      this.bytes -= pixels.byteLength;
    }
    return frame;
  }
}

/** The places around one, nearest first, more of them in the direction of travel. */
export function around(index, count, direction) {
  const found = [];
  for (let step = 1; step <= AHEAD; step++) {
    found.push(index + step * direction);
    if (step <= BEHIND) found.push(index - step * direction);
  }
  return found.filter((place) => place >= 0 && place < count);
}

/** Where there are heat maps, the strongest first: [{ stack, frame }]. */
export function evidence(stacks) {
  const places = stacks.flatMap(({ frames }, stack) => frames.map(({ rank }, frame) => ({ stack, frame, rank })));
  return places.filter(({ rank }) => rank !== null).sort((a, b) => a.rank - b.rank);
}

/** The place that a case opens at: the strongest evidence, else the middle of the first stack. */
export function opening(stacks) {
  return evidence(stacks)[0] ?? { stack: 0, frame: middle(stacks[0]) };
}

export function middle(stack) { return Math.floor((stack.frames.length - 1) / 2); }
