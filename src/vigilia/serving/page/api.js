// The interface of the service. Paths are relative, so that the page works behind any prefix.

const ROOT = "api/v1";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(`${ROOT}/${path}`, { credentials: "same-origin", ...options });
  } catch {
    throw new ApiError(0, "The service does not answer. Is it still running?");
  }
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    const text = told.error ?? told.detail;
    throw new ApiError(response.status,
      typeof text === "string" ? text : `The service answered ${response.status}.`);
  }
  return response;
}

const read = async (path, options) => (await ask(path, options)).json();
const send = (method, value) => ({
  method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(value),
});
const query = (values) => {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
};
const of = (name) => `streams/${encodeURIComponent(name)}`;

export const api = {
  session: () => read("session"),
  login: (token) => read("session", send("POST", { token })),
  streams: () => read("streams"),
  segments: (name, from, to) => read(`${of(name)}/timeline${query({ from, to })}`),
  seconds: (name, from, to, points) => read(`${of(name)}/seconds${query({ from, to, points })}`),
  memory: (name) => read(`${of(name)}/memory`),
  parts: (name) => read(`${of(name)}/parts`),
  summary: (name, corrected, from) => read(`${of(name)}/summary${query({ corrected, from })}`),
  formats: () => read("formats"),
  corrections: (name) => read(`${of(name)}/corrections`),
  correct: (name, correction) => read(`${of(name)}/corrections`, send("POST", correction)),
  takeBack: (name, id) => ask(`${of(name)}/corrections${query({ id })}`, { method: "DELETE" }),
  frame: (name, seconds, width) => ask(`${of(name)}/frame.jpg${query({ seconds, width })}`),
  download: (name, format, corrected) => ask(`${of(name)}/export${query({ format, corrected })}`),
  videoAddress: (name, part) => `${ROOT}/${of(name)}/video${query({ part })}`,
  frameAddress: (name, stamp) => `${ROOT}/${of(name)}/frame.jpg${query({ at: stamp })}`,
};

/** All segments of a stretch, piece by piece; `onPiece(end)` is told how far it has come. */
export async function allSegments(name, onPiece = () => {}, from = null) {
  let start = from;
  let whole = null;
  for (;;) {
    const piece = await api.segments(name, start, null);
    if (whole === null) whole = piece;
    else {
      // A segment on the border is told twice; the later telling has its end.
      const first = piece.segments[0];
      while (first && whole.segments.at(-1)?.start_seconds >= first.start_seconds) whole.segments.pop();
      for (const one of piece.segments) whole.segments.push(one);
      const known = new Set((whole.truth ?? []).map((one) => one.start_seconds));
      for (const one of piece.truth ?? []) if (!known.has(one.start_seconds)) whole.truth.push(one);
      whole.until_seconds = piece.until_seconds;
    }
    const last = piece.segments.at(-1);
    if (!piece.truncated || !last || last.end_seconds <= (start ?? -Infinity)) return whole;
    start = last.end_seconds;
    onPiece(start);
  }
}
