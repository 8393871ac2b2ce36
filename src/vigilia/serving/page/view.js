// The stretch of time that is shown, and the ticks under it.

const SHORTEST_SECONDS = 2;
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800,
  21600, 43200, 86400, 172800, 604800, 1209600, 2592000];

/** [from, to) within [start, end]; zoom and pan keep it inside. */
export class View {
  constructor(start = 0, end = 1) {
    this.setExtent(start, end);
    this.fit();
  }

  setExtent(start, end) {
    this.start = start;
    this.end = Math.max(end, start + 1);
  }

  get span() { return this.to - this.from; }
  get isWhole() { return this.from <= this.start && this.to >= this.end; }

  fit() {
    this.from = this.start;
    this.to = this.end;
  }

  show(from, to) {
    const span = Math.min(Math.max(to - from, SHORTEST_SECONDS), this.end - this.start);
    const middle = (from + to) / 2;
    this.from = Math.min(Math.max(middle - span / 2, this.start), this.end - span);
    this.to = this.from + span;
  }

  /** Zooms so that `seconds` stays where it is; `factor` below 1 shows less time. */
  zoom(factor, seconds) {
    const span = Math.min(Math.max(this.span * factor, SHORTEST_SECONDS), this.end - this.start);
    const place = (seconds - this.from) / this.span;
    const from = seconds - place * span;
    this.show(from, from + span);
  }

  pan(seconds) { this.show(this.from + seconds, this.to + seconds); }

  /** Moves only if `seconds` is not well inside. */
  reveal(seconds) {
    if (seconds >= this.from && seconds <= this.to) return false;
    const half = this.span / 2;
    this.show(seconds - half, seconds + half);
    return true;
  }
}

/** Ticks of [from, to): [{seconds, text}], about one every `room` pixels. Wall time where known. */
export function ticks(from, to, pixels, wallStart, room = 84) {
  const wanted = (to - from) / Math.max(1, pixels / room);
  const step = STEPS.find((one) => one >= wanted) ?? STEPS.at(-1);
  const zone = wallStart === null ? 0 : wallStart - new Date(wallStart * 1000).getTimezoneOffset() * 60;
  const found = [];
  for (let k = Math.ceil((from + zone) / step - 1e-9); k * step - zone <= to; k += 1) {
    const seconds = k * step - zone;
    found.push({ seconds, text: tickText(k * step, step, wallStart !== null) });
  }
  return found;
}

function tickText(seconds, step, isWall) {
  const two = (value) => String(value).padStart(2, "0");
  const sign = seconds < 0 ? "−" : "";
  const whole = Math.floor(Math.abs(seconds) + 1e-6);
  const days = Math.floor(whole / 86400);
  const hours = Math.floor(whole / 3600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  if (isWall) {
    const date = new Date(whole * 1000);
    if (step >= 86400 || whole % 86400 === 0) {
      return date.toLocaleDateString(undefined, { timeZone: "UTC", day: "numeric", month: "short" });
    }
    return `${two(hours)}:${two(minutes)}${step < 60 ? `:${two(whole % 60)}` : ""}`;
  }
  if (step >= 86400) return `${sign}${days} d`;
  if (days && step >= 3600) return `${sign}${days} d ${hours} h`;
  const fraction = step < 1 ? (Math.abs(seconds) - whole).toFixed(1).slice(1) : "";
  const long = 24 * days + hours;
  return `${sign}${long}:${two(minutes)}:${two(whole % 60)}${fraction}`;
}
