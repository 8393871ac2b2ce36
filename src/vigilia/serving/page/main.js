// The beginning: theme, token, which page is shown, keys, events.

import { api } from "./api.js";
import { announce, el, fill, stateBox } from "./dom.js";
import { actionOf, KEYS, keysAreOn, setKeys } from "./keys.js";
import { listen } from "./live.js";
import { openStream } from "./open.js";
import { showTiles } from "./tiles.js";

const main = document.getElementById("main");
const title = document.getElementById("title");
const connection = document.getElementById("connection");
const help = document.getElementById("help");
const themeButton = document.getElementById("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");
const MOST_MISSED = 1000;
let page = null;
let events = null;
let visit = 0;
let missed = []; // events that came while a page was being made

function applyTheme() {
  const theme = localStorage.getItem("vigilia.theme") ?? (dark.matches ? "dark" : "light");
  document.documentElement.dataset.theme = theme;
  themeButton.textContent = theme === "dark" ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Switch to ${theme === "dark" ? "light" : "dark"} colours`);
  page?.redraw?.();
}

themeButton.addEventListener("click", () => {
  const now = document.documentElement.dataset.theme;
  localStorage.setItem("vigilia.theme", now === "dark" ? "light" : "dark");
  applyTheme();
});
dark.addEventListener("change", applyTheme);

function openHelp() {
  fill(help.querySelector("tbody"), KEYS.map(([keys, what]) =>
    el("tr", {}, el("th", { scope: "row", text: keys }), el("td", { text: what }))));
  document.getElementById("keys-on").checked = keysAreOn();
  help.showModal();
}
document.getElementById("help-button").addEventListener("click", openHelp);
document.getElementById("keys-on").addEventListener("change", (event) => setKeys(event.target.checked));

document.addEventListener("keydown", (event) => {
  const found = actionOf(event);
  const onChart = event.target?.id === "chart";
  if (!found || (!keysAreOn() && !onChart)) return;
  if (found[0] === "help") openHelp();
  else if (page?.act) page.act(...found);
  else return;
  event.preventDefault();
});

function showError(error) {
  const again = el("button", { type: "button", class: "main", text: "Try again", onclick: route });
  const heading = error.status === 404 ? "There is no such stream" : "This did not work";
  fill(main, stateBox(heading, error.message, el("div", { class: "row" }, again,
    error.status === 404 && el("a", { href: "#/", text: "All streams" }))));
  announce(`${heading}. ${error.message}`);
}

const WHERE_IT_IS = "It is in the service's configuration.";

function askForToken(words) {
  const input = el("input", { type: "password", required: true, autocomplete: "current-password",
    "aria-label": "Token" });
  const form = el("form", { class: "row" }, input, el("button", { type: "submit", class: "main", text: "Go on" }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const session = await api.login(input.value);
      if (session.allowed) start();
      else askForToken("That token is not the right one.");
    } catch (error) {
      askForToken(error.status === 401 ? "That token is not the right one." : error.message);
    }
  });
  events?.close(); // or it would ask again while somebody types
  leave();
  fill(main, stateBox("This service asks for its token", words, form));
  input.focus();
}

/** Ends the page that is shown, and what is still being made of another. */
function leave() {
  page?.close();
  page = null;
  missed = [];
  return (visit += 1);
}

async function route() {
  const mine = leave();
  fill(main, el("div", { class: "state waiting", role: "status" }, el("h2", { text: "Loading…" })));
  let opened = null;
  try {
    const streams = await api.streams();
    if (mine !== visit) return;
    const named = /^#\/stream\/(.+)$/.exec(location.hash);
    const alone = streams.length === 1 && !streams[0].live ? streams[0] : null;
    const wanted = named ? decodeURIComponent(named[1]) : alone?.name;
    title.textContent = wanted ?? "";
    if (wanted === undefined) {
      document.title = "Vigilia";
      opened = showTiles(main, streams);
    } else {
      const stream = streams.find((one) => one.name === wanted);
      if (!stream) throw Object.assign(new Error(`The service has no stream “${wanted}”.`), { status: 404 });
      // `vigilia view` names the file; a service has its own names, and a path says less.
      const isFile = !stream.live && stream.source && !stream.source.includes("/");
      title.textContent = isFile ? stream.source : stream.name;
      document.title = `${title.textContent}, Vigilia`;
      opened = await openStream(main, stream);
    }
  } catch (error) {
    if (mine !== visit) return;
    if (error.status === 401) askForToken(WHERE_IT_IS);
    else showError(error);
    return;
  }
  if (mine !== visit) {
    opened.close();
    return;
  }
  page = opened;
  for (const [kind, event] of missed.splice(0)) page.take(kind, event);
}

/** Tells the page of an event, or keeps it until there is a page; false: it has no place for it. */
function tell(kind, event) {
  if (page) return page.take(kind, event);
  if (missed.length < MOST_MISSED) missed.push([kind, event]);
  return undefined;
}

function hear() {
  events?.close();
  const up = () => {
    connection.textContent = "";
    document.body.classList.remove("stale");
  };
  events = listen({
    label: (event) => tell("label", event),
    status: (event) => {
      const known = tell("status", event);
      // A stream that was added has no tile yet.
      if (known === false && event.status !== "removed") route();
    },
    correction: (event) => tell("correction", event),
    reset: () => { if (page?.act) page.take("reset", {}); else route(); },
    up,
    down: () => {
      connection.textContent = "Connection lost, what you see is old; trying again…";
      document.body.classList.add("stale");
    },
    refused: () => {
      up(); // nothing old is shown any more
      askForToken(`The service was started anew. ${WHERE_IT_IS}`);
    },
  });
}

async function start() {
  let session = { allowed: true };
  try {
    session = await api.session();
  } catch (error) {
    if (error.status === 0) { showError(error); return; }
  }
  if (!session.allowed) { askForToken(WHERE_IT_IS); return; }
  hear();
  await route();
}

// Followed as a link it would be another address, and the page would be made anew.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", async () => {
  await route();
  main.focus();
});
applyTheme();
start();
