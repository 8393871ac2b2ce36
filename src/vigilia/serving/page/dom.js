// Elements are made here and nowhere else: text only ever enters as text, never as markup.

/** Makes an element: properties, `on...` listeners, `data`/`aria` attributes, children. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (name === "colour") node.style.backgroundColor = value;
    else if (name === "width%") node.style.width = `${value}%`;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

/** Replaces what a node holds. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((one) => one !== null && one !== undefined));
}

/** A coloured square; hatched where nothing was observed. */
export function swatch(colour) {
  return el("span", { class: colour ? "swatch" : "swatch hole", colour, "aria-hidden": "true" });
}

/** A table: header of texts, rows of texts or nodes; the first column names the row. */
export function table(caption, header, rows) {
  return el("table", {},
    caption && el("caption", { text: caption }),
    el("thead", {}, el("tr", {}, header.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell, column) =>
      el(column ? "td" : "th", column ? {} : { scope: "row" }, cell))))));
}

/** Says something to those who listen instead of looking. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** A state of the whole page: empty, or an error with a way on. */
export function stateBox(heading, words, ...more) {
  return el("section", { class: "state" }, el("h2", { text: heading }), el("p", { text: words }), more);
}

/** Hands a file to the person. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
