// What there is to draw of one stream: segments, truth, colours, and which classes are drawn as one.

import { colourIndices, MOST_COLOURS, rowOrder } from "./colours.js";
import { Segments } from "./segments.js";

/** What the timeline draws. Groups are the classes; of many, the rare ones are one group. */
export function makeModel(stream, told) {
  const { classes } = told;
  const predicted = Segments.from(told.segments, classes);
  const seconds = predicted.totals(classes.length);
  const indices = colourIndices(classes, seconds);
  const single = classes.length <= MOST_COLOURS;
  const groups = single ? classes.map((_, code) => code)
    : indices.map((index) => (index < 0 ? MOST_COLOURS - 1 : index));
  const names = single ? [...classes] : new Array(MOST_COLOURS).fill("others");
  const colours = single ? [...indices] : names.map((_, group) => (group < MOST_COLOURS - 1 ? group : -1));
  if (!single) indices.forEach((index, code) => { if (index >= 0) names[index] = classes[code]; });
  const codeOf = new Map(classes.map((label, code) => [label, code]));
  return {
    classes, groups, names, colours, indices, predicted, shown: predicted, resolved: [],
    totals: groupTotals(seconds, groups, names.length), order: rowOrder(names),
    truth: told.truth?.length ? Segments.from(told.truth, classes) : null,
    extent: { start: predicted.start, end: Math.max(predicted.end, predicted.start + 1) },
    wallStart: told.wall_start ?? null, density: null, revision: 0,
    colourOf: (label) => indices[codeOf.get(label)] ?? -1,
  };
}

/** Takes what was labelled since; colours and groups stay as they are. */
export function extend(model, segments) {
  model.predicted = model.predicted.extended(Segments.from(segments, model.classes));
  model.extent.end = model.predicted.end;
  model.totals = groupTotals(model.predicted.totals(model.classes.length), model.groups, model.names.length);
}

/** Seconds in each of G groups, from those in each class. */
function groupTotals(seconds, groups, G) {
  const totals = new Float64Array(G);
  seconds.forEach((value, code) => { totals[groups[code]] += value; });
  return totals;
}
