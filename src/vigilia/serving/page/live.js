// What the service says by itself: server-sent events, with a word when they stop coming.

import { api } from "./api.js";

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 60_000;

/** Listens until `close()`. `handlers`: {label, status, correction, reset, up, down, refused}. */
export function listen(handlers) {
  let source = null;
  let timer = null;
  let wait = FIRST_WAIT;
  let lost = false;
  let closed = false;

  const open = () => {
    source = new EventSource("api/v1/events");
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
    source.onopen = () => {
      wait = FIRST_WAIT;
      handlers.up?.();
      if (lost) handlers.reset?.(); // what was said meanwhile is not repeated
      lost = false;
    };
    source.onerror = () => {
      lost = true;
      handlers.down?.();
      // A connection that breaks is made again by the browser; any other answer than 200 ends it.
      if (closed || source.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(again, wait * (0.5 + Math.random() / 2));
      wait = Math.min(2 * wait, LONGEST_WAIT);
    };
  };

  const again = async () => {
    // A service that was started anew no longer knows the cookie; a browser does not tell of a 401.
    const session = await api.session().catch(() => null);
    if (closed) return;
    if (session && !session.allowed) handlers.refused?.();
    else open();
  };

  open();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      source.close();
    },
  };
}
