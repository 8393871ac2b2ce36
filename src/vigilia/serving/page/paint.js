// Draws the timeline. Every row is first summed per pixel column, so that an hour and a month cost
// the same.

import { colour, packed } from "./colours.js";
import { ticks } from "./view.js";

const BAND_STEPS = 32;

/** Rows from the top, in CSS pixels: [{kind, height, ...}] for what there is to show. */
export function layout(model, narrow) {
  const rows = [{ kind: "band", name: "state", height: 34, of: "shown" }];
  if (model.truth) rows.push({ kind: "band", name: "truth", height: 20, of: "truth" });
  const lane = narrow ? 13 : 15;
  if (model.order.length > 1 && model.order.length <= 12) {
    model.order.forEach((group, place) => rows.push({
      kind: "lane", name: model.names[group], height: lane, group, first: place === 0,
    }));
  }
  rows.push({ kind: "confidence", name: narrow ? "conf." : "confidence", height: 44 });
  if (model.density) rows.push({ kind: "density", name: narrow ? "prob." : "probability", height: 52 });
  rows.push({ kind: "axis", name: "", height: 24 });
  let top = 0;
  return rows.map((row) => {
    const gap = row.kind === "lane" && !row.first ? 1 : 6;
    top += top ? gap : 0;
    const placed = { ...row, top };
    top += row.height;
    return placed;
  });
}

/** Draws all rows into a context scaled to CSS pixels. `width` includes the `gutter` for names. */
export function paint(context, model, view, rows, { width, gutter, ratio, ink, faint, line, hatch }) {
  const columns = Math.max(1, Math.round((width - gutter) * ratio));
  const total = rows.at(-1).top + rows.at(-1).height;
  context.clearRect(0, 0, width, total);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  const area = { x: gutter, width: width - gutter };
  const sums = new Map();
  const of = (name) => {
    if (!sums.has(name)) {
      sums.set(name, model[name].columns(view.from, view.to, columns, model.groups, model.names.length));
    }
    return sums.get(name);
  };
  const marks = ticks(view.from, view.to, area.width, model.wallStart);
  const x = (seconds) => area.x + ((seconds - view.from) / view.span) * area.width;
  context.fillStyle = line;
  for (const { seconds } of marks) context.fillRect(x(seconds) - 0.5, 0, 1, total - 20);
  for (const row of rows) {
    if (row.name && gutter) {
      context.fillStyle = faint;
      context.fillText(shorten(context, row.name, gutter - 8), 0, row.top + row.height / 2 + 0.5);
    }
    if (row.kind === "band") {
      drawHatch(context, area.x, row.top, area.width, row.height, hatch);
      drawBand(context, of(row.of).shares, columns, model, area, row);
    } else if (row.kind === "lane") {
      drawLane(context, of("shown").shares, columns, model, area, row, line);
    } else if (row.kind === "confidence") {
      drawConfidence(context, of("shown"), columns, area, row, { ink, faint, line });
    } else if (row.kind === "density") {
      drawDensity(context, model, view, area, row, { line, ratio });
    } else {
      drawAxis(context, marks, x, row, { faint, right: area.x + area.width });
    }
  }
}

/** The whole recording in one band, for the strip that says where one is. */
export function paintOverview(context, model, width, height, ratio, hatch) {
  const columns = Math.max(1, Math.round(width * ratio));
  context.clearRect(0, 0, width, height);
  drawHatch(context, 0, 0, width, height, hatch);
  const { start, end } = model.extent;
  const { shares } = model.shown.columns(start, end, columns, model.groups, model.names.length);
  drawBand(context, shares, columns, model, { x: 0, width }, { top: 0, height });
}

function drawBand(context, shares, columns, model, area, row) {
  const groups = model.names.length;
  const image = new ImageData(columns, BAND_STEPS);
  const pixels = new Uint32Array(image.data.buffer);
  const paints = model.colours.map((index) => packed(colour(index)));
  for (let column = 0; column < columns; column += 1) {
    let filled = 0;
    for (const group of model.order) {
      const share = shares[column * (groups + 1) + group];
      if (share <= 0) continue;
      const top = Math.round(filled * BAND_STEPS);
      filled += share;
      // What is there at all is to be seen.
      const bottom = Math.min(BAND_STEPS, Math.max(top + 1, Math.round(filled * BAND_STEPS)));
      for (let y = top; y < bottom; y += 1) pixels[y * columns + column] = paints[group];
    }
  }
  stretch(context, image, area, row);
}

function drawLane(context, shares, columns, model, area, row, line) {
  const groups = model.names.length;
  const image = new ImageData(columns, 1);
  const pixels = new Uint32Array(image.data.buffer);
  const paint = packed(colour(model.colours[row.group])) & 0xffffff;
  for (let column = 0; column < columns; column += 1) {
    const share = Math.min(1, shares[column * (groups + 1) + row.group]);
    if (share > 0) {
      const alpha = Math.round(255 * Math.max(0.18, share));
      pixels[column] = ((alpha << 24) | paint) >>> 0;
    }
  }
  context.fillStyle = line;
  context.fillRect(area.x, row.top + row.height - 0.5, area.width, 0.5);
  stretch(context, image, area, { top: row.top + 1, height: row.height - 2 });
}

function drawConfidence(context, { mean, lowest }, columns, area, row, { ink, faint, line }) {
  const y = (value) => row.top + row.height - value * row.height;
  const step = area.width / columns;
  context.fillStyle = line;
  for (const level of [0, 0.5, 1]) context.fillRect(area.x, y(level), area.width, 0.5);
  context.globalAlpha = 0.3;
  context.fillStyle = faint;
  for (let column = 0; column < columns; column += 1) {
    if (mean[column] > lowest[column]) {
      const top = y(mean[column]);
      context.fillRect(area.x + column * step, top, step, y(lowest[column]) - top);
    }
  }
  context.globalAlpha = 1;
  context.strokeStyle = ink;
  context.lineWidth = 1;
  context.beginPath();
  let open = false;
  for (let column = 0; column < columns; column += 1) {
    const value = mean[column];
    if (Number.isNaN(value)) { open = false; continue; }
    const left = area.x + column * step;
    if (open) context.lineTo(left, y(value));
    else context.moveTo(left, y(value));
    context.lineTo(left + step, y(value));
    open = true;
  }
  context.stroke();
}

function drawDensity(context, model, view, area, row, { line, ratio }) {
  const snap = (value) => Math.round(value * ratio) / ratio;
  const density = model.density;
  context.fillStyle = line;
  context.fillRect(area.x, row.top + row.height - 0.5, area.width, 0.5);
  if (!density) return;
  const { start_seconds: start, step_seconds: step, probabilities } = density;
  context.save();
  context.beginPath();
  context.rect(area.x, row.top, area.width, row.height);
  context.clip();
  const scale = area.width / view.span;
  const sums = new Float64Array(model.names.length);
  probabilities.forEach((cells, index) => {
    if (!cells) return;
    // Neighbours meet on whole device pixels, or the seams between them would show.
    const left = snap(area.x + (start + index * step - view.from) * scale);
    const right = snap(area.x + (start + (index + 1) * step - view.from) * scale);
    if (right < area.x || left > area.x + area.width) return;
    sums.fill(0);
    cells.forEach((value, code) => { sums[model.groups[code]] += value; });
    let top = row.top;
    for (const group of model.order) {
      const height = sums[group] * row.height;
      if (height < 0.2) { top += height; continue; }
      context.fillStyle = colour(model.colours[group]);
      context.fillRect(left, top, right - left, height + 0.2);
      top += height;
    }
  });
  context.restore();
}

function drawAxis(context, marks, x, row, { faint, right }) {
  context.textAlign = "center";
  for (const { seconds, text } of marks) {
    const at = x(seconds);
    const half = context.measureText(text).width / 2;
    context.fillStyle = faint;
    const place = Math.min(at, right - half);
    if (at <= right && at - half >= 0) context.fillText(text, place, row.top + 14);
  }
  context.textAlign = "start";
}

/** Slanted lines: nothing was observed. */
function drawHatch(context, left, top, width, height, hatch) {
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.strokeStyle = hatch;
  context.lineWidth = 1;
  context.beginPath();
  for (let x = left - height; x < left + width; x += 6) {
    context.moveTo(x, top + height);
    context.lineTo(x + height, top);
  }
  context.stroke();
  context.restore();
}

let sheet = null;

function stretch(context, image, area, row) {
  sheet ??= document.createElement("canvas");
  sheet.width = image.width;
  sheet.height = image.height;
  sheet.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(sheet, area.x, row.top, area.width, row.height);
}

function shorten(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > room) end -= 1;
  return `${text.slice(0, end)}…`;
}
