// One place that says which key does what; the help shows this list.

export const KEYS = [
  ["Space", "play or pause"],
  ["← →", "the bout before, the next bout"],
  [", .", "a second back, a second on"],
  ["j l", "ten seconds back, ten seconds on"],
  ["n p", "the next stretch by doubt, the one before"],
  ["1 … 9", "this bout, or what is selected, is that class"],
  ["0", "nothing can be seen here"],
  ["Enter", "the label is right; in a selection, that of each bout"],
  ["[ ]", "the selection starts here, ends here"],
  ["Escape", "no selection"],
  ["z", "undo the last correction"],
  ["+ − f", "zoom in, zoom out, show all"],
  ["?", "this list"],
];

const PREFERENCE = "vigilia.keys";

export const keysAreOn = () => localStorage.getItem(PREFERENCE) !== "off";
export const setKeys = (on) => localStorage.setItem(PREFERENCE, on ? "on" : "off");

/** What a press means, as [action, value]; null if it is none of ours. */
export function actionOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return null;
  const tag = event.target?.tagName;
  if (["INPUT", "SELECT", "TEXTAREA"].includes(tag) && event.target.type !== "checkbox") return null;
  if (document.querySelector("dialog[open]")) return null;
  // Buttons, links and the player use these keys themselves.
  const own = ["BUTTON", "A", "SUMMARY", "VIDEO"].includes(tag) || event.target?.type === "checkbox";
  const { key } = event;
  if (own && [" ", "Enter"].includes(key)) return null;
  if (tag === "VIDEO" && key.startsWith("Arrow")) return null;
  if (/^[1-9]$/.test(key)) return ["label", Number(key) - 1];
  return {
    " ": ["toggle"], ArrowLeft: ["bout", -1], ArrowRight: ["bout", 1], ",": ["step", -1],
    ".": ["step", 1], j: ["step", -10], l: ["step", 10], n: ["doubt", 1], p: ["doubt", -1],
    0: ["label", -1], Enter: ["confirm"], "[": ["edge", 0], "]": ["edge", 1], Escape: ["unselect"],
    z: ["undo"], "+": ["zoom", 0.5], "=": ["zoom", 0.5], "-": ["zoom", 2], f: ["fit"], "?": ["help"],
  }[key] ?? null;
}
