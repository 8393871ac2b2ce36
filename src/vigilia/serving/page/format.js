// Seconds and shares as people read them.

const two = (value) => String(value).padStart(2, "0");

/** 3725.4 -> "1:02:05"; from a day on "2 d 1:02:05"; with `tenths` "1:02:05.4". */
export function clock(seconds, tenths = false) {
  const sign = seconds < 0 ? "−" : "";
  const unit = tenths ? 10 : 1;
  const rounded = Math.floor(Math.abs(seconds) * unit + 1e-6) / unit;
  const whole = Math.floor(rounded);
  const days = Math.floor(whole / 86400);
  const hours = Math.floor(whole / 3600) % 24;
  const rest = tenths ? `.${Math.floor((rounded - whole) * 10 + 1e-6)}` : "";
  const time = `${hours}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}${rest}`;
  return sign + (days ? `${days} d ${time}` : time);
}

/** How long something takes, at two digits of interest: "4.2 s", "3 min 20 s", "5 h 02 min". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) {
    return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${two(whole % 60)} s` : ""}`;
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** 0.0042 -> "0.4 %"; what is there is never "0 %". */
export function percent(share) {
  if (!share) return "0 %";
  if (share < 0.001) return "<0.1 %";
  return share < 0.1 ? `${(100 * share).toFixed(1)} %` : `${Math.round(100 * share)} %`;
}

/** The time on the wall, where it is known: "Mon 3 Nov, 22:05:10". */
export function wall(unixSeconds) {
  return new Date(unixSeconds * 1000).toLocaleString(undefined, {
    weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
    second: "2-digit", hourCycle: "h23",
  });
}

/** A label as it is shown; a hole has none. */
export function labelText(label) {
  return label === null || label === undefined ? "unobserved" : label;
}

/** One cell of a CSV. */
export function csvCell(value) {
  const text = String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
