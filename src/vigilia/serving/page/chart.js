// The timeline one can touch: draws it, and turns pointer, wheel and keys into places in time.

import { layout, paint, paintOverview } from "./paint.js";

const CLICK_PIXELS = 5;

/**
 * `model`: what to draw (see stream.js); `view`: the View; handlers:
 * seek(seconds), select(from, to), moved() after the view has changed.
 */
export class Chart {
  constructor(root, overview, model, view, handlers) {
    Object.assign(this, { root, overview, model, view, handlers });
    [this.paper, this.glass] = root.querySelectorAll("canvas");
    this.pointers = new Map();
    this.playhead = 0;
    this.selection = null;
    this.hover = null;
    this.attended = [];
    this.dirty = this.dirtyGlass = false;
    new ResizeObserver(() => this.refresh()).observe(root);
    this.listen();
  }

  get gutter() { return this.width < 560 ? 52 : 84; }
  get width() { return this.root.clientWidth; }

  seconds(x) {
    const place = (x - this.gutter) / Math.max(1, this.width - this.gutter);
    return this.view.from + place * this.view.span;
  }

  x(seconds) {
    return this.gutter + ((seconds - this.view.from) / this.view.span) * (this.width - this.gutter);
  }

  /** Draws everything anew with the next frame of the screen. */
  refresh() { this.schedule("dirty"); }
  /** Draws only what lies above: playhead, selection, hover. */
  refreshGlass() { this.schedule("dirtyGlass"); }

  schedule(what) {
    if (!this.dirty && !this.dirtyGlass) requestAnimationFrame(() => this.draw());
    this[what] = true;
  }

  moved() {
    this.refresh();
    this.handlers.moved();
  }

  draw() {
    const all = this.dirty || !this.rows;
    this.dirty = this.dirtyGlass = false;
    if (!this.width || !this.root.isConnected) return;
    const style = getComputedStyle(document.documentElement);
    const paints = Object.fromEntries(["ink", "faint", "line", "hatch", "accent", "paper"]
      .map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    const ratio = window.devicePixelRatio || 1;
    if (all) {
      this.rows = layout(this.model, this.width < 560);
      const height = this.rows.at(-1).top + this.rows.at(-1).height;
      for (const canvas of [this.paper, this.glass]) size(canvas, this.width, height, ratio);
      paint(this.paper.getContext("2d"), this.model, this.view, this.rows, {
        width: this.width, gutter: this.gutter, ratio, ...paints,
      });
    }
    this.drawGlass(paints);
    this.drawOverview(paints, ratio);
  }

  drawGlass(paints) {
    const context = this.glass.getContext("2d");
    const height = this.rows.at(-1).top;
    const bottom = height + this.rows.at(-1).height;
    context.clearRect(0, 0, this.width, bottom);
    context.save();
    context.beginPath();
    context.rect(this.gutter - 7, 0, this.width - this.gutter + 7, bottom);
    context.clip();
    // Corrected stretches carry a line above the state.
    context.fillStyle = paints.ink;
    for (const one of this.model.resolved) {
      const left = this.x(one.start_seconds);
      const right = Math.max(left + 2, this.x(one.end_seconds));
      if (right > this.gutter && left < this.width) context.fillRect(left, 0, right - left, 3);
    }
    for (const { seconds, attention } of this.attended) {
      context.globalAlpha = Math.min(1, 0.25 + attention * 2);
      context.fillStyle = paints.accent;
      context.beginPath();
      context.arc(this.x(seconds), 38, 3, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    if (this.selection) {
      const [from, to] = this.selection;
      const left = this.x(from);
      const wide = Math.max(2, this.x(to) - left);
      context.globalAlpha = 0.14;
      context.fillStyle = paints.accent;
      context.fillRect(left, 0, wide, height);
      context.globalAlpha = 1;
      context.strokeStyle = paints.accent;
      context.lineWidth = 1.5;
      context.strokeRect(left, 0.75, wide, height - 1.5);
    }
    if (this.hover !== null) {
      context.fillStyle = paints.faint;
      context.fillRect(this.x(this.hover) - 0.5, 0, 1, height);
    }
    const at = this.x(this.playhead);
    context.fillStyle = paints.paper;
    context.fillRect(at - 2, 0, 4, height);
    context.fillStyle = paints.ink;
    context.fillRect(at - 1, 0, 2, height);
    context.beginPath();
    context.moveTo(at - 6, height + 8);
    context.lineTo(at + 6, height + 8);
    context.lineTo(at, height - 1);
    context.fill();
    context.restore();
  }

  drawOverview(paints, ratio) {
    const canvas = this.overview;
    const width = canvas.clientWidth;
    const height = 26;
    if (!width) return;
    const key = [width, ratio, this.model.revision, paints.paper].join();
    if (this.overviewKey !== key) {
      this.overviewKey = key;
      this.overviewPicture = document.createElement("canvas");
      size(this.overviewPicture, width, height, ratio);
      paintOverview(this.overviewPicture.getContext("2d"), this.model, width, height, ratio, paints.hatch);
    }
    size(canvas, width, height, ratio);
    const context = canvas.getContext("2d");
    context.drawImage(this.overviewPicture, 0, 0, width, height);
    const { start, end } = this.model.extent;
    const x = (seconds) => ((seconds - start) / (end - start)) * width;
    const left = x(this.view.from);
    const right = Math.max(left + 3, x(this.view.to));
    context.fillStyle = paints.paper;
    context.globalAlpha = 0.62;
    context.fillRect(0, 0, left, height);
    context.fillRect(right, 0, width - right, height);
    context.globalAlpha = 1;
    context.strokeStyle = paints.ink;
    context.lineWidth = 2;
    context.strokeRect(left + 1, 1, Math.max(1, right - left - 2), height - 2);
    context.fillStyle = paints.ink;
    context.fillRect(x(this.playhead) - 1, 0, 2, height);
  }

  listen() {
    const { root, overview } = this;
    const local = (event) => event.clientX - root.getBoundingClientRect().left;
    root.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      root.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, local(event));
      this.drag = { from: local(event), moved: false, choosing: event.shiftKey };
    });
    root.addEventListener("pointermove", (event) => {
      const x = local(event);
      if (!this.pointers.has(event.pointerId)) {
        this.hover = event.pointerType === "mouse" && x > this.gutter ? this.seconds(x) : null;
        this.refreshGlass();
        return;
      }
      this.dragTo(event.pointerId, x);
    });
    const release = (event) => {
      if (!this.pointers.delete(event.pointerId) || this.pointers.size) return;
      const wasClick = event.type === "pointerup" && this.drag && !this.drag.moved;
      if (wasClick && this.drag.from > this.gutter) this.handlers.seek(this.seconds(this.drag.from));
      this.drag = null;
    };
    root.addEventListener("pointerup", release);
    root.addEventListener("pointercancel", release);
    root.addEventListener("pointerleave", () => {
      this.hover = null;
      this.refreshGlass();
    });
    root.addEventListener("wheel", (event) => {
      event.preventDefault();
      const unit = event.deltaMode ? 20 : 1;
      const sideways = event.shiftKey ? event.deltaY : event.deltaX;
      if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
        this.view.pan((sideways * unit * this.view.span) / this.width);
      } else {
        const strength = event.ctrlKey ? 0.01 : 0.0016;
        this.view.zoom(Math.exp(event.deltaY * unit * strength), this.seconds(local(event)));
      }
      this.moved();
    }, { passive: false });
    const jump = (event) => {
      const box = overview.getBoundingClientRect();
      const { start, end } = this.model.extent;
      const middle = start + ((event.clientX - box.left) / box.width) * (end - start);
      if (this.view.isWhole) this.handlers.seek(middle);
      else this.view.show(middle - this.view.span / 2, middle + this.view.span / 2);
      this.moved();
    };
    overview.addEventListener("pointerdown", (event) => {
      overview.setPointerCapture(event.pointerId);
      jump(event);
    });
    overview.addEventListener("pointermove", (event) => {
      if (event.buttons) jump(event);
    });
  }

  dragTo(id, x) {
    const before = this.pointers.get(id);
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([key]) => key !== id)[1];
      const apart = Math.max(12, Math.abs(x - other));
      this.view.zoom(Math.max(12, Math.abs(before - other)) / apart, this.seconds((x + other) / 2));
      this.drag.moved = true;
    } else if (this.drag && (this.drag.moved || Math.abs(x - this.drag.from) > CLICK_PIXELS)) {
      this.drag.moved = true;
      if (this.drag.choosing) {
        const ends = [this.seconds(this.drag.from), this.seconds(x)].sort((a, b) => a - b);
        this.handlers.select(...ends);
        this.pointers.set(id, x);
        return;
      }
      this.view.pan(((before - x) * this.view.span) / Math.max(1, this.width - this.gutter));
    } else {
      return; // the start stays where the finger came down
    }
    this.pointers.set(id, x);
    this.moved();
  }
}

function size(canvas, width, height, ratio) {
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
}
