// The list of keys, and whether single keys mean anything: a speech recogniser's user turns them off (WCAG 2.1.4).

const KEPT_AS = "clinical_mm.single_keys"; // "off" where they are off; nothing of a patient is kept

export function singleKeysOn() { return localStorage.getItem(KEPT_AS) !== "off"; }

export function openHelp() {
  const dialog = document.querySelector("[data-keys]");
  if (!dialog) return false;
  const choice = dialog.querySelector("[data-single-keys]");
  choice.checked = singleKeysOn();
  choice.onchange = () => localStorage.setItem(KEPT_AS, choice.checked ? "on" : "off");
  dialog.querySelector("[data-close]").onclick = () => dialog.close();
  dialog.onclose = () => {
    if (dialog.contains(document.activeElement)) document.activeElement.blur(); // else keys stay in it
  };
  dialog.showModal();
  return true;
}
