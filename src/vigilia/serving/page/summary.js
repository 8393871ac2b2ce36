// How the states fill the recording, and the downloads.

import { api } from "./api.js";
import { colour } from "./colours.js";
import { announce, el, fill, save, swatch, table } from "./dom.js";
import { duration, percent } from "./format.js";

/** Fills the summary; `corrections` is how many there are, `colourOf(label)` an index. */
export async function showSummary(host, stream, { corrected, corrections }, colourOf) {
  let summary;
  try {
    summary = await api.summary(stream.name, corrected);
  } catch (error) {
    fill(host, el("p", { class: "error", text: error.message }), el("button", {
      type: "button", text: "Try again", onclick: () => showSummary(host, stream, { corrected, corrections }, colourOf),
    }));
    return;
  }
  const seen = summary.classes.filter((one) => one.bouts).sort((a, b) => b.seconds - a.seconds);
  if (!seen.length) {
    fill(host, el("p", { class: "empty", text: "Nothing is labelled yet." }));
    return;
  }
  const rows = seen.map((one) => [
    el("span", {}, swatch(colour(colourOf(one.label))), ` ${one.label}`),
    el("span", {}, el("span", { class: "share", "aria-hidden": "true" },
      el("i", { "width%": 100 * one.share, colour: colour(colourOf(one.label)) })),
    el("span", { class: "figure", text: percent(one.share) })),
    duration(one.seconds), String(one.bouts), duration(one.mean_bout_seconds),
    duration(one.median_bout_seconds), duration(one.latency_seconds),
  ]);
  const never = summary.classes.length - seen.length;
  const notes = [
    `${duration(summary.observed_seconds)} observed`,
    summary.unobserved_seconds > 0 ? `${duration(summary.unobserved_seconds)} not` : "",
    never ? `${never} ${never === 1 ? "class" : "classes"} did not occur` : "",
    corrections && (corrected ? "with the corrections" : "as the model saw it"),
  ];
  fill(host,
    el("p", { class: "note", text: `${notes.filter(Boolean).join(", ")}.` }),
    el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Summary of the states" },
      table(null, ["state", "share", "time", "bouts", "mean bout", "median", "first after"], rows)),
    summary.sleep ? sleepFigures(summary.sleep) : null);
}

function sleepFigures(sleep) {
  const figures = [
    ["total sleep", duration(sleep.total_sleep_seconds)],
    ["sleep efficiency", percent(sleep.sleep_efficiency)],
    ["sleep latency", duration(sleep.sleep_latency_seconds)],
    ["REM latency", duration(sleep.rem_latency_seconds)],
    ["wake after onset", duration(sleep.waso_seconds)],
    ["awakenings", String(sleep.awakenings)],
  ];
  return el("ul", { class: "figures", "aria-label": "Sleep" }, figures.map(([name, value]) =>
    el("li", {}, el("b", { text: value }), el("span", { text: name }))));
}

/** Buttons for every format; `corrected()` says whether corrections go in. */
export async function showDownloads(host, stream, corrected) {
  const problem = el("p", { class: "error-line", role: "alert" });
  let formats;
  try {
    formats = await api.formats();
  } catch (error) {
    fill(host, el("p", { class: "error", text: error.message }));
    return;
  }
  const get = async (format, button) => {
    problem.textContent = "";
    button.disabled = true;
    try {
      const response = await api.download(stream.name, format.format, corrected());
      const told = response.headers.get("Content-Disposition") ?? "";
      const name = decodeURIComponent(/filename\*=UTF-8''([^;]+)/.exec(told)?.[1] ?? "")
        || /filename="([^"]+)"/.exec(told)?.[1] || `${stream.name}${format.suffix}`;
      save(await response.blob(), name);
      announce(`${name} is saved`);
    } catch (error) {
      problem.textContent = `${format.title}: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  };
  fill(host, el("div", { class: "buttons" }, formats.map((format) => {
    const button = el("button", { type: "button", text: format.title,
      title: `The timeline as ${format.suffix}` });
    button.addEventListener("click", () => get(format, button));
    return button;
  })), problem);
}
