// Colours of the classes: Okabe and Ito 2008, then Paul Tol's muted scheme, as in our prints.

const LIGHT = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#332288",
  "#999933", "#882255", "#44aa99", "#661100", "#6699cc", "#aa4466"];
// The dark ones would sink into a dark page.
const DARK = ["#3d9fd8", "#e69f00", "#1cb88c", "#d48fb6", "#8ccdf2", "#f07a2e", "#f0e442", "#8f85e8",
  "#b5b550", "#c7568f", "#5fc7b5", "#c0704f", "#88b4e4", "#d57492"];
const OTHER = "#8a9199";

/** As many classes as have a colour of their own; of more the most frequent ones have. */
export const MOST_COLOURS = LIGHT.length;

/** Which colour each class has: (K,) indices, -1 for the others' grey. `seconds`: (K,) time in each. */
export function colourIndices(classes, seconds) {
  if (classes.length <= MOST_COLOURS) return classes.map((_, index) => index);
  const ranked = classes.map((_, index) => index).sort((a, b) => seconds[b] - seconds[a] || a - b);
  const found = new Array(classes.length).fill(-1);
  ranked.slice(0, MOST_COLOURS - 1).forEach((code, place) => { found[code] = place; });
  return found;
}

/** The colour of an index, in the theme that is on. */
export function colour(index) {
  const palette = isDark() ? DARK : LIGHT;
  return index < 0 ? OTHER : palette[index % palette.length];
}

export function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

/** "#0072b2" -> 0xffb27200, as canvas memory holds it. */
export function packed(text) {
  const value = parseInt(text.slice(1), 16);
  return ((0xff << 24) | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

const SLEEP = [/^w|wake/i, /rem|^r$|paradox/i, /n1|s1|light/i, /n2|s2/i, /^n|nrem|sws|sleep/i, /n3|s3|deep/i];

/** Rows of a hypnogram from the top, wake first; other classes keep their order. */
export function rowOrder(classes) {
  const rank = (name) => {
    if (/non-?rem|nrem/i.test(name)) return 4;
    const found = SLEEP.findIndex((pattern) => pattern.test(name));
    return found < 0 ? 9 : found;
  };
  const order = classes.map((_, index) => index);
  if (!classes.some((name) => /rem|sleep|^n[123r]?$/i.test(name))) return order;
  return order.sort((a, b) => rank(classes[a]) - rank(classes[b]) || a - b);
}
