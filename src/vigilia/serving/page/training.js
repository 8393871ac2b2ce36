// Corrections as a table that `vigilia train` reads: whose recording, from when to when, what.

import { api } from "./api.js";
import { csvCell, labelText } from "./format.js";

/** The files of a stream, as training knows them: [{name, offset}], ascending; a camera has none. */
export async function filesOf(stream) {
  if (stream.live) return [{ name: stream.name, offset: 0 }];
  const parts = stream.kind === "folder" ? await api.parts(stream.name).catch(() => []) : [];
  const found = parts.filter((one) => one.offset_seconds !== null)
    .map((one) => ({ name: one.name, offset: one.offset_seconds }))
    .sort((a, b) => a.offset - b.offset);
  if (found.length) return found;
  return [{ name: stream.source.split(/[\\/]/).findLast(Boolean) ?? stream.name, offset: 0 }];
}

/**
 * The table. Who said it is a comment: a column of scorers would have to be chosen from. Each row
 * has the seconds of its own file, and, where it is known, the time on the wall.
 */
export function trainingTable(resolved, files, wallStart) {
  const header = ["recording", "start_seconds", "end_seconds", "label", "comment"];
  if (wallStart !== null) header.push("wall_start");
  const rows = resolved.flatMap((one) => files.flatMap(({ name, offset }, at) => {
    const start = at ? Math.max(one.start_seconds, offset) : one.start_seconds;
    const end = Math.min(one.end_seconds, files[at + 1]?.offset ?? Infinity);
    if (end - start < 1e-6) return [];
    const row = [name, tidy(start - offset), tidy(end - offset), labelText(one.label), one.by];
    if (wallStart !== null) row.push(new Date((wallStart + start) * 1000).toISOString());
    return [row];
  }));
  return [header, ...rows].map((row) => `${row.map(csvCell).join(",")}\n`).join("");
}

// Differences of seconds without the dust of binary fractions.
const tidy = (seconds) => Number(seconds.toFixed(6));
