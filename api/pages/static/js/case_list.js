// The list by keyboard: j and k move, Enter opens, / searches.

export function listKey(key) {
  const table = document.querySelector("[data-list]");
  if (key === "/") {
    document.querySelector("[data-search]")?.focus();
    return true;
  }
  if (!table || !["j", "k"].includes(key)) return false;
  const rows = [...table.tBodies[0].rows];
  const now = rows.findIndex((row) => row.classList.contains("current"));
  const next = Math.min(Math.max(now + (key === "j" ? 1 : -1), 0), rows.length - 1);
  rows.forEach((row, i) => row.classList.toggle("current", i === next));
  rows[next].querySelector("a.open").focus(); // Enter on the link opens it
  rows[next].scrollIntoView({ block: "nearest" });
  return true;
}

export function submitOnChange(root) {
  for (const choice of root.querySelectorAll("[data-submits]")) choice.addEventListener("change", () => choice.form.requestSubmit());
}
