// A run's page as the run goes on: each event of the server has the page's parts fetched anew, until the run has ended.

const AGAIN_MS = 5000;

export function watchRun(run) {
  if (!run?.dataset.events) return;
  let source = null;
  let said = "";
  const open = () => {
    source = new EventSource(run.dataset.events);
    source.addEventListener("run", (event) => {
      const { state, progress } = JSON.parse(event.data);
      if (["succeeded", "failed", "cancelled"].includes(state)) close();
      for (const part of document.querySelectorAll("#run, #log")) part.dispatchEvent(new Event("changed"));
      say(state === "running" && progress ? `${state}, ${progress.stage}` : state);
    });
    source.addEventListener("error", () => {
      // A broken line mends itself; a refusal does not: signed out, or the server is going down.
      if (source?.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), AGAIN_MS);
    });
  };
  const close = () => {
    source?.close();
    source = null;
    document.removeEventListener("visibilitychange", look);
  };
  const look = () => { // a page that nobody sees keeps no thread of the server busy
    source?.close();
    source = null;
    if (!document.hidden) open();
  };
  const say = (words) => { // a screen reader hears of each stage once, not of each step
    if (words === said) return;
    said = words;
    document.getElementById("run-said").textContent = words;
  };
  document.addEventListener("visibilitychange", look);
  if (!document.hidden) open();
}
