// The review form by keyboard: c, o, u choose, Enter saves, n goes on.

export function startReview(form) {
  const show = () => {
    const verdict = form.elements.verdict.value;
    for (const part of form.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== verdict;
  };
  form.addEventListener("change", show);
  form.querySelector("textarea").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault(); // Shift + Enter makes a new line
      event.target.blur(); // else the focus comes back to it, and n would be a letter
      form.requestSubmit();
    }
  });
  show();
}

/** Answers a key pressed on the case page; true where it meant something. */
export function reviewKey(key) {
  const choice = document.querySelector(`[data-review] [data-key="${CSS.escape(key)}"]`);
  if (choice && !choice.disabled) {
    choice.click();
    choice.focus();
    return true;
  }
  const next = document.getElementById("case")?.dataset.next;
  if (key === "n" && next) {
    window.location.assign(next);
    return true;
  }
  return false;
}
