/**
 * The report of a replay as one page that needs nothing else: data, styles and the plotting library
 * are inside. Plots are described here as data; `page.html` draws them.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { CheckReport } from "../check/rules.ts";
import { ETA_NAMES, etaErrorsS, samplesOf } from "./figures.ts";
import type { Figures } from "./figures.ts";
import type { Sample } from "./memory.ts";
import type { Run } from "./run.ts";
import { curve, histogram, perStep } from "./stats.ts";

/** One series of a plot: a line, points or bars over the plot's x. */
type Series = { readonly label: string; readonly y: readonly (number | null)[] };
type Plot = {
  readonly title: string;
  readonly note: string;
  readonly kind: "line" | "bars";
  readonly xLabel: string;
  readonly yLabel: string;
  readonly x: readonly number[];
  readonly series: readonly Series[];
};
type Dot = readonly [lng: number, lat: number];
type Tile = { readonly name: string; readonly value: string; readonly bad?: boolean };
type Page = {
  readonly text: string;
  readonly tiles: readonly Tile[];
  readonly plots: readonly Plot[];
  readonly map: Readonly<Record<"pickups" | "dropoffs" | "without a courier", readonly Dot[]>>;
};

const DOTS_MAX = 4_000;
const MEGABYTE = 1_048_576;

/** What is said of a replay, beside what happened in it. */
export type Said = {
  readonly figures: Figures;
  readonly check: CheckReport | null;
  readonly text: string;
};

export function reportHtml(run: Run, said: Said): string {
  const dist = dirname(createRequire(import.meta.url).resolve("uplot"));
  const read = (file: string): string => readFileSync(join(dist, file), "utf8");
  const page = readFileSync(new URL("./page.html", import.meta.url), "utf8");
  // "<" is escaped so that no text inside the data can end the script element.
  const data = JSON.stringify(pageOf(run, said)).replaceAll("<", "\\u003c");
  return page
    .replace("/*UPLOT_CSS*/", () => read("uPlot.min.css"))
    .replace("/*UPLOT_JS*/", () => read("uPlot.iife.min.js"))
    .replace("/*DATA*/", () => data);
}

function pageOf(run: Run, said: Said): Page {
  return {
    text: said.text,
    tiles: tilesOf(said),
    plots: [
      overTime(run),
      delays(run),
      distances(run),
      offers(run),
      etaErrors(run),
      fleet(run),
      openDeliveries(run),
      memory(run),
    ],
    map: dots(run),
  };
}

function tilesOf({ figures: f, check }: Said): Tile[] {
  const milliseconds = (seconds: number | null): string =>
    seconds === null ? "-" : `${Math.round(seconds * 1_000)} ms`;
  const broken = f.violationsSeenByBots.length + (check?.violations.length ?? 0);
  const checked = check === null ? "not checked" : String(broken);
  const within = f.eta["arrival at create"].within5Min;
  return [
    { name: "violations of D1 to D6", value: checked, bad: broken > 0 },
    { name: "created", value: String(f.created) },
    { name: "matched", value: String(f.matched) },
    { name: unfilledName(f), value: String(f.unfilled) },
    { name: "first offer, p99", value: milliseconds(f.firstOfferS.p99) },
    { name: "the system's own share, p99", value: milliseconds(f.ownShareS.p99) },
    { name: "offers per assignment", value: f.offersPerAssignment?.toFixed(2) ?? "-" },
    {
      name: "promised arrival within 5 min",
      value: within === null ? "-" : `${Math.round(within * 100)} %`,
    },
  ];
}

function overTime({ tales, phases }: Run): Plot {
  const own = tales.own();
  const stepMs = Math.max(1_000, Math.ceil((phases.endedAt - phases.startedAt) / 120_000) * 1_000);
  const steps = Math.ceil((phases.endedAt - phases.startedAt) / stepMs) + 1;
  const perMinute = (times: (number | null)[]): number[] =>
    perStep(
      times.filter((time) => time !== null),
      phases.startedAt,
      stepMs,
      steps,
    ).map((count) => (count * 60_000) / stepMs);
  const delivered = own.filter((tale) => tale.status === "delivered");
  return {
    title: "Deliveries a minute",
    note: `by the clock, in steps of ${stepMs / 1_000} s`,
    kind: "line",
    xLabel: "seconds",
    yLabel: "per minute",
    x: Array.from({ length: steps }, (_, i) => (i * stepMs) / 1_000),
    series: [
      { label: "created", y: perMinute(own.map((tale) => tale.createdAt)) },
      { label: "assigned", y: perMinute(own.map((tale) => tale.acceptedAt)) },
      { label: "delivered", y: perMinute(delivered.map((tale) => tale.endedAt)) },
    ],
  };
}

/** Several cumulative curves over one x: each has its values at its own places, null elsewhere. */
function curves(named: readonly (readonly [string, readonly number[]])[]): {
  x: number[];
  series: Series[];
} {
  const lines = named.map(([label, values]) => ({ label, line: curve(values) }));
  const x = [...new Set(lines.flatMap(({ line }) => line[0]))].toSorted((a, b) => a - b);
  const series = lines.map(({ label, line }) => {
    const at = new Map(line[0].map((value, i) => [value, line[1][i] as number]));
    return { label, y: x.map((value) => at.get(value) ?? null) };
  });
  return { x, series };
}

function delays(run: Run): Plot {
  const samples = samplesOf(run.tales.own());
  return {
    title: "How long it takes",
    note: "share of deliveries not slower than; by the clock",
    kind: "line",
    xLabel: "seconds",
    yLabel: "share",
    ...curves([
      ["create answered to first offer", samples.firstOfferS],
      ["create answered to assigned", samples.assignmentS],
      ["the system's own share", samples.ownShareS],
    ]),
  };
}

function bars(title: string, note: string, xLabel: string, [x, y]: [number[], number[]]): Plot {
  return {
    title,
    note,
    kind: "bars",
    xLabel,
    yLabel: "deliveries",
    x,
    series: [{ label: "n", y }],
  };
}

const distances = (run: Run): Plot =>
  bars(
    "Distance from the courier to the pickup",
    "straight line when the job was offered; the last bar collects the rest",
    "metres",
    histogram(samplesOf(run.tales.own()).pickupDistanceM, 0, 5_000, 100),
  );

const offers = (run: Run): Plot =>
  bars(
    "Offers until somebody took it",
    "the last bar collects the rest",
    "offers",
    histogram(
      run.tales
        .own()
        .filter((tale) => tale.acceptedAt !== null)
        .map((tale) => tale.offers),
      0.5,
      20.5,
      1,
    ),
  );

function etaErrors(run: Run): Plot {
  const all = ETA_NAMES.map((name) =>
    histogram(etaErrorsS(run.tales.own(), name, run.options.compression), -1_800, 1_800, 120),
  );
  return {
    title: "Estimates, minus what happened",
    note: "world seconds; left of zero it took longer than promised",
    kind: "line",
    xLabel: "seconds",
    yLabel: "deliveries",
    x: all[0]?.[0] ?? [],
    series: ETA_NAMES.map((label, i) => ({ label, y: all[i]?.[1] ?? [] })),
  };
}

function fleet(run: Run): Plot {
  return {
    title: "Couriers",
    note: "",
    kind: "line",
    xLabel: "seconds",
    yLabel: "couriers",
    x: secondsOf(run),
    series: [
      { label: "connected", y: run.samples.map((sample) => sample.connected) },
      { label: "on shift", y: run.samples.map((sample) => sample.onShift) },
      { label: "busy", y: run.samples.map((sample) => sample.busy) },
    ],
  };
}

function memory(run: Run): Plot {
  const megabytes = (bytes: number | undefined): number | null =>
    bytes === undefined ? null : Math.round(bytes / MEGABYTE);
  const of = (pick: (sample: Sample) => number | undefined): (number | null)[] =>
    run.samples.map((sample) => megabytes(pick(sample)));
  return {
    title: "Memory",
    note: "as the processes report it; read it beside the open deliveries",
    kind: "line",
    xLabel: "seconds",
    yLabel: "MiB",
    x: secondsOf(run),
    series: [
      { label: "node, resident", y: of(({ node }) => node?.resident) },
      { label: "gateway, resident", y: of(({ gateway }) => gateway?.resident) },
      { label: "node, heap in use", y: of(({ node }) => node?.heap) },
      { label: "gateway, heap in use", y: of(({ gateway }) => gateway?.heap) },
    ],
  };
}

const openDeliveries = (run: Run): Plot => ({
  title: "Open deliveries",
  note: "created and not yet ended: what the processes have to hold",
  kind: "line",
  xLabel: "seconds",
  yLabel: "deliveries",
  x: secondsOf(run),
  series: [{ label: "open", y: run.samples.map(({ open }) => open) }],
});

const secondsOf = (run: Run): number[] =>
  run.samples.map((sample) => (sample.at - run.phases.startedAt) / 1_000);

function dots(run: Run): Page["map"] {
  const own = run.tales.own().slice(0, DOTS_MAX);
  const dot = (place: { lng: number; lat: number } | null): Dot[] =>
    place === null ? [] : [[Number(place.lng.toFixed(5)), Number(place.lat.toFixed(5))]];
  const never = own.filter((tale) => tale.acceptedAt === null && tale.status !== "canceled");
  return {
    pickups: own.flatMap((tale) => dot(tale.origin)),
    dropoffs: own.flatMap((tale) => dot(tale.destination)),
    "without a courier": never.flatMap((tale) => dot(tale.origin)),
  };
}

const unfilledName = ({ unfilledBecause }: Figures): string => {
  const reasons = Object.entries(unfilledBecause).map(([reason, count]) => `${reason} ${count}`);
  return reasons.length === 0 ? "unfilled" : `unfilled (${reasons.join(", ")})`;
};
