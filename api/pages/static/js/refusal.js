// What an answer says that is a refusal: it comes as a whole page.

/** The page's one sentence, or the status of what is no such page. */
export function reason(html, status) {
  const said = new DOMParser().parseFromString(html, "text/html").querySelector("[role=alert] p");
  return said?.textContent ?? `the server answered with ${status}`;
}
