// What shows the pictures: the browser's player, single pictures where it cannot, a live camera.

import { api } from "./api.js";
import { el, fill } from "./dom.js";
import { clock } from "./format.js";

const LIVE_EVERY = 1000;

/** A player in `host`: seek(seconds), toggle(), step(seconds), close(); `seconds` is where it is. */
export async function openPlayer(host, stream, onTime) {
  if (stream.live) return livePictures(host, stream);
  let parts = [];
  try {
    parts = await api.parts(stream.name);
  } catch {
    // An older service, or no parts: single pictures may still be had.
  }
  if (parts.length && parts.every((part) => part.offset_seconds !== null)) {
    return film(host, stream, parts, onTime);
  }
  return stills(host, stream, onTime, "");
}

function film(host, stream, parts, onTime) {
  const video = el("video", { controls: true, playsinline: true, preload: "metadata",
    "aria-label": `Recording ${stream.source}` });
  fill(host, video);
  let current = null;
  let inner = null; // single pictures, once the browser has given up
  let closed = false;
  let wanted = stream.start_seconds ?? 0;

  const load = (part, seconds, playing) => {
    current = part;
    video.src = api.videoAddress(stream.name, part.part);
    video.currentTime = Math.max(0, seconds - part.offset_seconds);
    if (playing) video.play().catch(() => {});
  };
  const partAt = (seconds) => parts.findLast((one) => one.offset_seconds <= seconds + 1e-3) ?? parts[0];
  const tell = () => {
    if (inner || closed || !video.isConnected) return;
    wanted = video.currentTime + current.offset_seconds;
    onTime(wanted, !video.paused);
  };
  const give = () => {
    if (inner || closed) return;
    const why = "This browser cannot play the video; these are single pictures of it.";
    video.removeAttribute("src");
    inner = stills(host, stream, onTime, why);
    inner.seek(wanted);
  };
  video.addEventListener("error", give);
  video.addEventListener("loadedmetadata", () => { if (!video.videoWidth) give(); });
  for (const name of ["timeupdate", "seeked", "play", "pause"]) video.addEventListener(name, tell);
  video.addEventListener("ended", () => {
    const next = parts[parts.indexOf(current) + 1];
    if (next) load(next, next.offset_seconds, true);
  });
  // `timeupdate` comes four times a second; the playhead is to glide.
  const glide = () => {
    if (closed || inner) return;
    if (!video.paused) tell();
    requestAnimationFrame(glide);
  };
  load(parts[0], wanted, false);
  requestAnimationFrame(glide);
  return {
    get seconds() { return inner ? inner.seconds : wanted; },
    seek(seconds) {
      if (inner) return inner.seek(seconds);
      wanted = seconds;
      const part = partAt(seconds);
      if (part !== current) load(part, seconds, !video.paused);
      else video.currentTime = Math.max(0, seconds - part.offset_seconds);
      return onTime(seconds, !video.paused);
    },
    toggle() {
      if (inner) inner.toggle();
      else if (video.paused) video.play().catch(() => {});
      else video.pause();
    },
    step(seconds) { this.seek(this.seconds + seconds); },
    close() {
      closed = true;
      inner?.close();
      video.pause();
      video.removeAttribute("src");
      video.load();
    },
  };
}

function stills(host, stream, onTime, why) {
  const picture = el("img", { class: "picture", alt: "", hidden: true });
  const play = el("button", { type: "button", text: "Play", onclick: () => player.toggle() });
  const place = el("span", { class: "number" });
  const note = el("p", { class: "note", text: why });
  const blank = el("p", { class: "blank", text: "Looking for the first picture…" });
  fill(host, picture, blank, el("div", { class: "stills" }, play, place, note));
  let seconds = stream.start_seconds ?? 0;
  let timer = null;
  let busy = false;
  let again = false;
  let url = null;
  let closed = false;
  const playing = () => timer !== null;

  const show = async () => {
    if (busy) { again = true; return; }
    busy = true;
    const asked = seconds;
    try {
      const width = Math.min(1280, Math.round(host.clientWidth * (window.devicePixelRatio || 1)) || 640);
      const response = await api.frame(stream.name, asked, Math.max(16, width));
      const blob = await response.blob();
      if (closed) return;
      if (url) URL.revokeObjectURL(url);
      url = URL.createObjectURL(blob);
      picture.src = url;
      picture.alt = `The recording at ${clock(asked)}`;
      picture.hidden = false;
      blank.hidden = true;
    } catch (error) {
      picture.hidden = true;
      blank.hidden = false;
      blank.textContent = `No picture: ${error.message}`;
      stop();
    } finally {
      busy = false;
      if (again && !closed) { again = false; show(); }
    }
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const player = {
    get seconds() { return seconds; },
    seek(to) {
      const end = stream.position_seconds ?? Infinity;
      seconds = Math.min(Math.max(to, stream.start_seconds ?? 0), end);
      if (seconds >= end) stop();
      place.textContent = clock(seconds);
      onTime(seconds, playing());
      show();
    },
    toggle() {
      if (playing()) { stop(); onTime(seconds, false); return; }
      play.textContent = "Pause";
      // Pictures come as fast as they are decoded; time passes as it does.
      let before = performance.now();
      timer = setInterval(() => {
        const now = performance.now();
        player.seek(seconds + (now - before) / 1000);
        before = now;
      }, 250);
    },
    step(by) { player.seek(seconds + by); },
    close() { closed = true; stop(); if (url) URL.revokeObjectURL(url); },
  };
  place.textContent = clock(seconds);
  show();
  return player;
}

function livePictures(host, stream) {
  const picture = el("img", { class: "picture", alt: `The latest picture of ${stream.name}` });
  const blank = el("p", { class: "blank", text: "No picture yet. The camera may still be connecting." });
  fill(host, blank, picture, el("div", { class: "stills" },
    el("p", { class: "note", text: "Live. Past pictures of a camera are not kept; the timeline is." })));
  picture.hidden = true;
  let tick = 0;
  picture.addEventListener("load", () => { picture.hidden = false; blank.hidden = true; });
  picture.addEventListener("error", () => { picture.hidden = true; blank.hidden = false; });
  const show = () => {
    if (!document.hidden) picture.src = api.frameAddress(stream.name, tick += 1);
  };
  show();
  const timer = setInterval(show, LIVE_EVERY);
  return {
    seconds: null, seek() {}, toggle() {}, step() {}, close() { clearInterval(timer); },
  };
}
