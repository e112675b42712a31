"use strict";
// Everything works without this file: links lead to whole pages. It fetches parts of them instead.

const status = document.getElementById("status");

function say(text) {
  status.textContent = text;
}

async function fetchText(url) {
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return answer.text();
}

function put(place, html) {
  const template = document.createElement("template");
  template.innerHTML = html; // made and escaped by the server; the page's policy runs no script from it
  place.replaceChildren(template.content);
}

function withParameter(url, name, value) {
  const changed = new URL(url, location.href);
  changed.searchParams.set(name, value);
  return changed;
}

// --- the list: sort, page and filter replace the table -------------------------------------

// Runs chosen for a comparison stay chosen; those that another page or filter hides are named beside the button.
function putList(html) {
  const chosen = new Set(Array.from(document.querySelectorAll("form.choose input:checked"), (box) => box.value));
  const place = document.getElementById("runs");
  put(place, html);
  for (const box of place.querySelectorAll("form.choose input")) box.checked = chosen.delete(box.value);
  for (const value of chosen) {
    const label = document.createElement("label");
    label.append(Object.assign(document.createElement("input"), { type: "checkbox", name: "run", value, checked: true }), ` ${value} `);
    place.querySelector(".elsewhere")?.append(label);
  }
}

async function showList(url, { remember = true } = {}) {
  putList(await fetchText(withParameter(url, "part", "1")));
  if (remember) history.replaceState(null, "", url);
  document.body.dataset.token = document.getElementById("runs-state").dataset.token;
}

function filterList(form) {
  let waiting;
  let newest = 0;
  const apply = async () => {
    const mine = ++newest;
    const url = new URL(form.action);
    for (const [name, value] of new FormData(form)) if (value) url.searchParams.set(name, value);
    const html = await fetchText(withParameter(url, "part", "1"));
    if (mine !== newest) return; // a slower answer to an older text
    putList(html);
    history.replaceState(null, "", url);
    document.body.dataset.token = document.getElementById("runs-state").dataset.token;
  };
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => apply().catch((error) => say(`The list could not be fetched: ${error.message}`)), 150);
  };
  form.addEventListener("input", soon);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    soon();
  });
}

// --- a step opens below its row --------------------------------------------------------------

async function toggleStep(link) {
  const row = link.closest("tr");
  const below = row.nextElementSibling;
  if (below && below.classList.contains("detail")) {
    below.hidden = !below.hidden;
    link.setAttribute("aria-expanded", String(!below.hidden));
    return;
  }
  const detail = document.createElement("tr");
  const cell = document.createElement("td");
  detail.className = "detail";
  cell.colSpan = row.cells.length;
  detail.append(cell);
  put(cell, await fetchText(link.dataset.open));
  if (row.nextElementSibling && row.nextElementSibling.classList.contains("detail")) return; // a double click
  row.after(detail);
  link.setAttribute("aria-expanded", "true");
}

async function showComparison(link) {
  const place = document.getElementById("compare");
  put(place, await fetchText(link.dataset.compare));
  history.replaceState(null, "", link.href);
}

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest("a");
  if (!link) return;
  const acts = [["part", () => showList(link.href)], ["open", () => toggleStep(link)], ["compare", () => showComparison(link)]];
  const act = acts.find(([name]) => name in link.dataset);
  if (!act) return;
  event.preventDefault();
  act[1]().catch(() => location.assign(link.href));
});

// --- figures, one after the other --------------------------------------------------------------

async function showFigures() {
  for (const place of document.querySelectorAll("[data-figure]")) {
    try {
      const text = await fetchText(place.dataset.figure);
      if (!text) continue;
      const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
      if (parsed.nodeName === "svg") place.append(document.importNode(parsed, true));
    } catch (error) {
      place.append(`This figure could not be drawn: ${error.message}`);
    }
  }
}

// --- live --------------------------------------------------------------------------------------

function watch() {
  const { live, mode } = document.body.dataset;
  if (!live) return;
  const every = 3000;
  const look = async () => {
    if (document.hidden) return;
    const query = mode === "replace" ? location.search : "";
    const answer = await fetch(live + query, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const told = await answer.json();
    if (told.token === document.body.dataset.token) return;
    if (mode === "replace") await showList(location.href, { remember: false });
    else {
      document.body.dataset.token = told.token;
      status.replaceChildren("This run has gone on. ", Object.assign(document.createElement("a"), { href: location.href, textContent: "Show it" }));
    }
  };
  const again = () => look().then(() => say0(), (error) => say(`The server does not answer (${error.message})`)).finally(() => setTimeout(again, every));
  const say0 = () => { if (status.textContent.startsWith("The server")) say(""); };
  setTimeout(again, every);
}

const form = document.querySelector("form.filter");
if (form) filterList(form);
for (const link of document.querySelectorAll("[data-open]")) link.setAttribute("aria-expanded", "false");
showFigures();
watch();
