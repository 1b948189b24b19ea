// The review form by keyboard: c, o, u choose, digits tick diagnoses, r writes a reason, Enter saves, z undoes.

export function startReview(form) {
  const show = () => {
    const verdict = form.elements.verdict.value;
    for (const part of form.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== verdict;
  };
  form.addEventListener("change", () => {
    show();
    form.querySelector("button.primary").scrollIntoView({ block: "nearest" }); // the choices may have pushed it out of sight
  });
  form.querySelector("textarea").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault(); // Shift + Enter makes a new line
      event.target.blur(); // else the focus comes back to it, and n would be a letter
      form.requestSubmit();
    }
  });
  show();
  document.querySelector("[data-notice]")?.focus({ preventScroll: true }); // a screen reader tells what was saved
}

function tick(digit) {
  const box = document.querySelector(`[data-review] [data-digit="${digit}"]`);
  const override = document.querySelector('[data-review] [data-key="o"]');
  if (!box || !(override.checked || box.form.hasAttribute("data-before"))) return false;
  if (!override.checked) override.click(); // reading first, a tick is a verdict
  box.click();
  box.focus(); // Enter saves from here as well
  return true;
}

/** Answers a key pressed on the case page; true where it meant something. */
export function reviewKey(key) {
  const choice = document.querySelector(`[data-review] [data-key="${CSS.escape(key)}"]`);
  if (choice && !choice.disabled) {
    choice.click();
    choice.focus();
    return true;
  }
  if (/^[1-9]$/.test(key)) return tick(key);
  if (key === "r" || key === "z") {
    const meant = document.querySelector(key === "r" ? "[data-reason]" : "[data-undo]");
    if (key === "r") meant?.focus();
    else meant?.requestSubmit();
    return meant !== null;
  }
  return false;
}
