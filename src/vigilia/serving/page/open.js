// Opening a stream: its timeline is fetched, and waited for where there is none yet.

import { allSegments } from "./api.js";
import { el, fill, stateBox } from "./dom.js";
import { clock } from "./format.js";
import { StreamPage } from "./stream.js";

const FIRST = "The first label comes when the first clip is full. This page shows it by itself.";
const EMPTY = {
  running: ["Nothing is labelled yet", FIRST],
  waiting: ["It waits", "No frame has come yet. This page shows the first label by itself."],
  reconnecting: ["The camera is away", "It is tried again, every minute at least."],
  failed: ["It has failed", "The service's log says more."],
  stopped: ["It is stopped", "Nothing was labelled before."],
  ended: ["It has ended", "There was nothing in it to label."],
};

/** Opens a stream in `host`; returns {act(action, value), take(kind, event), redraw(), close()}. */
export async function openStream(host, stream) {
  fill(host, el("div", { class: "state waiting", role: "status" },
    el("h2", { text: "Loading the timeline…" }), el("p", { class: "note", id: "loading" })));
  const told = await allSegments(stream.name, (seconds) => {
    const node = document.getElementById("loading");
    if (node) node.textContent = `until ${clock(seconds)}`;
  });
  if (!told.segments.length) {
    const box = (told) => {
      const [heading, words] = EMPTY[told.status] ?? EMPTY.running;
      fill(host, stateBox(heading, told.problem || words,
        el("p", {}, el("a", { href: "#/", text: "All streams" }))));
    };
    box(stream);
    return waiting(host, stream, box);
  }
  return new StreamPage(host, stream, told);
}

function waiting(host, stream, box) {
  let inner = null;
  let closed = false;
  let busy = false;
  return {
    act: (...all) => inner?.act(...all),
    redraw: () => inner?.redraw(),
    close: () => { closed = true; inner?.close(); },
    async take(kind, event) {
      if (inner) { inner.take(kind, event); return; }
      if (kind === "status" && event.stream === stream.name) box(Object.assign(stream, event));
      if (kind !== "label" || busy || closed) return;
      busy = true;
      const opened = await openStream(host, stream).catch(() => null);
      busy = false;
      if (closed) opened?.close();
      else inner = opened;
    },
  };
}
