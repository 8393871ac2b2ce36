// What the service says by itself: server-sent events, with a word when they stop coming.

/** Listens until `close()`. `handlers`: {label, status, correction, reset, up, down}. */
export function listen(handlers) {
  const source = new EventSource("api/v1/events");
  for (const kind of ["label", "status", "correction"]) {
    source.addEventListener(kind, (event) => {
      let told;
      try {
        told = JSON.parse(event.data);
      } catch {
        return;
      }
      handlers[kind]?.(told);
    });
  }
  source.addEventListener("reset", () => handlers.reset?.());
  let lost = false;
  source.onopen = () => {
    handlers.up?.();
    if (lost) handlers.reset?.(); // what was said meanwhile is not repeated
    lost = false;
  };
  source.onerror = () => {
    lost = true;
    handlers.down?.();
  };
  return source;
}
