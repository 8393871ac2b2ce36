// All streams at a glance: picture, state, how far behind, last change; kept current by events.

import { api } from "./api.js";
import { colour, colourIndices } from "./colours.js";
import { el, fill, stateBox, swatch } from "./dom.js";
import { clock, duration, labelText, wall } from "./format.js";

const PICTURE_EVERY = 2000;
const BADGES = {
  running: ["running", "good"], waiting: ["waiting", ""], reconnecting: ["reconnecting", "bad"],
  stopped: ["stopped", ""], ended: ["finished", ""], failed: ["failed", "bad"],
};
const URGENCY = ["failed", "reconnecting", "waiting", "running", "stopped", "ended"];

/** Shows the streams in `host`; returns {take(kind, event), close()}. */
export function showTiles(host, streams) {
  const tiles = new Map();
  const counts = el("p", { class: "note" });
  const count = () => { counts.textContent = inWords([...tiles.values()].map((one) => one.stream.status)); };
  const list = el("ul", { class: "tiles", "aria-label": "Streams" });
  if (!streams.length) {
    fill(host, stateBox("No streams yet", "Add one to the service's file and start it again, or add "
      + "one while it runs:"), );
    host.firstChild.append(el("pre", { text: '[[streams]]\nname = "pen-1"\nsource = "rtsp://camera.local/stream"' }));
    return { take: () => false, close() {} };
  }
  const order = (a, b) => URGENCY.indexOf(a.status) - URGENCY.indexOf(b.status)
    || a.name.localeCompare(b.name, undefined, { numeric: true });
  for (const stream of [...streams].sort(order)) {
    const tile = new Tile(stream);
    tiles.set(stream.name, tile);
    list.append(tile.node);
  }
  count();
  fill(host, el("div", { class: "toolbar" }, el("h2", { text: "Streams" }), counts), list);
  const pictures = setInterval(() => {
    if (document.hidden) return;
    for (const tile of tiles.values()) tile.picture();
  }, PICTURE_EVERY);
  const ages = setInterval(() => { for (const tile of tiles.values()) tile.ages(); }, 1000);
  return {
    /** Whether there is such a tile. */
    take(kind, event) {
      const tile = tiles.get(event.stream);
      tile?.take(kind, event);
      if (event.status === "removed") tiles.delete(event.stream);
      if (kind === "status") count();
      return tile !== undefined;
    },
    close() { clearInterval(pictures); clearInterval(ages); },
  };
}

/** "8: 6 running, 1 reconnecting, 1 failed". */
function inWords(statuses) {
  const each = URGENCY.toReversed().filter((one) => statuses.includes(one))
    .map((one) => `${statuses.filter((other) => other === one).length} ${BADGES[one][0]}`);
  return `${statuses.length}: ${each.join(", ")}`;
}

class Tile {
  constructor(stream) {
    this.stream = stream;
    this.told = Date.now();
    this.indices = colourIndices(stream.classes, stream.classes.map(() => 0));
    this.badge = el("span");
    this.state = el("p", { class: "state-line" });
    this.facts = el("p", { class: "facts" });
    this.problem = el("p", { class: "problem" });
    this.image = null;
    this.blank = el("span", { text: "no picture yet" });
    this.shot = el("div", { class: "shot" }, this.blank);
    this.node = el("li", { class: "tile" }, el("a", { href: `#/stream/${encodeURIComponent(stream.name)}` },
      this.shot,
      el("div", { class: "words" }, el("h2", {}, el("span", { text: stream.name }), this.badge),
        this.state, this.facts, this.problem)));
    this.tick = 0;
    this.show();
    this.picture(true);
  }

  picture(first = false) {
    const moving = ["running", "reconnecting", "waiting"].includes(this.stream.status);
    if (this.loading || !(first || moving)) return;
    this.loading = true;
    // The picture before stays until the next one is there.
    const next = el("img", { alt: "" });
    next.addEventListener("load", () => {
      this.shot.replaceChildren(next);
      this.loading = false;
    });
    next.addEventListener("error", () => { this.loading = false; });
    next.src = api.frameAddress(this.stream.name, this.tick += 1);
  }

  take(kind, event) {
    if (event.status === "removed") {
      this.node.remove();
      return;
    }
    const { stream: _, changed, start_seconds: began, ...told } = event;
    if (kind === "label" && changed) told.last_change_seconds = began;
    Object.assign(this.stream, told);
    this.told = Date.now();
    this.show();
  }

  show() {
    const { stream } = this;
    const [text, kind] = BADGES[stream.status] ?? [stream.status, ""];
    this.badge.className = `badge ${kind}`;
    this.badge.textContent = text;
    const index = stream.classes.indexOf(stream.label);
    fill(this.state, swatch(index < 0 ? null : colour(this.indices[index])),
      stream.position_seconds === null ? "nothing seen yet" : labelText(stream.label));
    this.problem.textContent = stream.problem ?? "";
    this.problem.hidden = !stream.problem;
    this.ages();
  }

  ages() {
    const { stream } = this;
    const lost = document.body.classList.contains("stale");
    const passed = stream.live && stream.status === "running" && !lost ? (Date.now() - this.told) / 1000 : 0;
    const facts = [];
    if (stream.since_seconds !== null) facts.push(`for ${duration(stream.since_seconds + passed)}`);
    if (stream.confidence !== null && stream.label !== null) facts.push(`confidence ${stream.confidence.toFixed(2)}`);
    if (stream.lag_seconds !== null) facts.push(`lag ${duration(stream.lag_seconds)}`);
    if (stream.last_change_seconds !== null) {
      facts.push(`last change ${stream.wall_start === null ? clock(stream.last_change_seconds)
        : wall(stream.wall_start + stream.last_change_seconds)}`);
    }
    const many = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
    if (stream.reconnects) facts.push(many(stream.reconnects, "reconnect"));
    if (stream.dropped) facts.push(`${many(stream.dropped, "clip")} dropped`);
    if (stream.machine) facts.push(`on ${stream.machine}`);
    const words = facts.join("|");
    if (words !== this.words) fill(this.facts, facts.map((text) => el("span", { text })));
    this.words = words;
  }
}
