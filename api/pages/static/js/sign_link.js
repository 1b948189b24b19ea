// A one-time link holds its token behind the #, which no browser sends: it is posted, so that no log of addresses has it.

const token = new URLSearchParams(location.hash.slice(1)).get("token");
const form = document.getElementById("by-link");  // not there where keys open no page
if (token && form) {
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.token.value = token;
  form.submit();
}
