// How the states fill the recording, and the downloads.

import { api } from "./api.js";
import { colour } from "./colours.js";
import { announce, el, fill, save, swatch, table } from "./dom.js";
import { duration, percent } from "./format.js";

const MOST_TRANSITIONS = 12;
const COMMON_FORMATS = 8;

// Of a camera that was watched for months somebody wants to know about last night.
const SPANS = [["all", null], ["last week", 7 * 86400], ["last day", 86400], ["last hour", 3600]];

/** The summary of a stream in `host`: show({corrected, corrections}), again when more is labelled. */
export class Summary {
  constructor(host, stream, colourOf) {
    this.stream = stream;
    this.colourOf = colourOf;
    this.span = null;
    this.body = el("div");
    this.choice = el("select", { "aria-label": "Which time is summarised" },
      SPANS.map(([text], at) => el("option", { value: String(at), text })));
    this.choice.addEventListener("change", () => {
      this.span = SPANS[Number(this.choice.value)][1];
      this.show(this.asked);
    });
    fill(host, stream.live ? el("p", { class: "row" }, this.choice) : null, this.body);
  }

  async show(asked) {
    this.asked = asked;
    const { corrected } = asked;
    const mine = (this.latest = {});
    const end = asked.end ?? null;
    const from = this.span === null || end === null ? null : end - this.span;
    let summary;
    try {
      summary = await api.summary(this.stream.name, corrected, from);
    } catch (error) {
      if (mine !== this.latest) return;
      fill(this.body, el("p", { class: "error", text: error.message }), el("button", {
        type: "button", text: "Try again", onclick: () => this.show(asked),
      }));
      return;
    }
    // An older answer may come behind a newer one.
    if (mine === this.latest) showFigures(this.body, summary, asked, this.colourOf);
  }
}

function showFigures(host, summary, { corrected, corrections }, colourOf) {
  const seen = summary.classes.filter((one) => one.bouts).sort((a, b) => b.seconds - a.seconds);
  if (!seen.length) {
    fill(host, el("p", { class: "empty", text: "Nothing is labelled in this time." }));
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
  const open = host.querySelector("details")?.open;
  fill(host,
    el("p", { class: "note", text: `${notes.filter(Boolean).join(", ")}.` }),
    el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Summary of the states" },
      table(null, ["state", "share", "time", "bouts", "mean bout", "median", "first after"], rows)),
    summary.sleep ? sleepFigures(summary.sleep) : null,
    summary.transitions ? transitions(summary.transitions, open) : null);
}

/** How often one state (row) was followed at once by another (column). */
function transitions({ labels, counts }, open) {
  if (labels.length < 2 || labels.length > MOST_TRANSITIONS) return null;
  const rows = labels.map((label, from) =>
    [label, ...counts[from].map((count, to) => (count || from !== to ? String(count) : "–"))]);
  return el("details", { class: "transitions", open },
    el("summary", { text: "Transitions" }),
    el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Transitions" },
      table("From the state of the row to that of the column", ["from", ...labels], rows)));
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
  const buttons = (some) => el("div", { class: "buttons" }, some.map((format) => {
    const button = el("button", { type: "button", text: format.title,
      title: `The timeline as ${format.suffix}` });
    button.addEventListener("click", () => get(format, button));
    return button;
  }));
  const others = formats.slice(COMMON_FORMATS);
  fill(host, buttons(formats.slice(0, COMMON_FORMATS)), others.length
    ? el("details", {}, el("summary", { text: "Other formats" }), buttons(others)) : null, problem);
}
