// Opening a stream: its timeline is fetched, and waited for where there is none yet.

import { allSegments } from "./api.js";
import { el, fill, stateBox } from "./dom.js";
import { clock } from "./format.js";
import { StreamPage } from "./stream.js";

/** Opens a stream in `host`; returns {act(action, value), take(kind, event), redraw(), close()}. */
export async function openStream(host, stream) {
  fill(host, el("div", { class: "state waiting", role: "status" },
    el("h2", { text: "Loading the timeline…" }), el("p", { class: "note", id: "loading" })));
  const told = await allSegments(stream.name, (seconds) => {
    const node = document.getElementById("loading");
    if (node) node.textContent = `until ${clock(seconds)}`;
  });
  if (!told.segments.length) {
    fill(host, stateBox("Nothing is labelled yet", stream.problem
      || "The first label comes when the first clip is full. This page shows it by itself."));
    return waiting(host, stream);
  }
  return new StreamPage(host, stream, told);
}

function waiting(host, stream) {
  let inner = null;
  let closed = false;
  let busy = false;
  return {
    act: (...all) => inner?.act(...all),
    redraw: () => inner?.redraw(),
    close: () => { closed = true; inner?.close(); },
    async take(kind, event) {
      if (inner) { inner.take(kind, event); return; }
      if (kind !== "label" || busy || closed) return;
      busy = true;
      const opened = await openStream(host, stream).catch(() => null);
      busy = false;
      if (closed) opened?.close();
      else inner = opened;
    },
  };
}
