// `npm run faults`: brings up a cluster of its own, puts load on it, breaks it by plan, and says
// what the faults cost and whether a promise was broken. Exit code 0: none was; 1: one was; 2: it
// could not run. Ctrl-C ends the faults early, judges what was done, and leaves nothing behind.

import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { SetupError } from "../services/process.ts";
import { EventWatch } from "./event-watch.ts";
import { History } from "./history.ts";
import { judgeRun } from "./judge.ts";
import type { Judgement } from "./judge.ts";
import { Load } from "./load.ts";
import { USAGE, parseFaultArgs } from "./options.ts";
import type { FaultOptions } from "./options.ts";
import { probePlaces, pullPlaces } from "./places.ts";
import type { PullPlace } from "./places.ts";
import { NEEDS_CABLES, NEEDS_DISKS } from "./plan.ts";
import type { PlanItem } from "./plan.ts";
import { Prober } from "./probes.ts";
import { Pullers } from "./pullers.ts";
import { findingLines, rowsOf, tableText, violationsOf } from "./report.ts";
import type { Row } from "./report.ts";
import { Rides } from "./rides.ts";
import { runRound } from "./round.ts";
import type { Answers, Ground, Round } from "./round.ts";
import { Stage } from "./stage.ts";
import { Twins } from "./twins.ts";

const WARM_UP_MS = 5_000;
/** Looks after the first, when a busy machine needs longer to come up. */
const SETTLES_MORE = 2;
/** Couriers without a socket, who look for work by REST. */
const PULLERS = 2;
/** Couriers whose positions are followed all the time. */
const RIDES = 3;
/** Whatever hangs, the process ends so long after the last fault may have begun. */
const OVERTIME_MS = 10 * 60_000;

export async function main(): Promise<void> {
  let code = 2;
  try {
    if (process.argv.includes("--help")) {
      process.stdout.write(`${USAGE}\n`);
      process.exit(0);
    }
    code = await run(parseFaultArgs(process.argv.slice(2)));
  } catch (error) {
    const isPlain = error instanceof SetupError || process.env["DEBUG"] === undefined;
    process.stderr.write(`${isPlain ? (error as Error).message : (error as Error).stack}\n`);
  }
  process.exit(code);
}

async function run(options: FaultOptions): Promise<number> {
  const out = options.json ? process.stderr : process.stdout;
  const say = (line: string): void => void out.write(`${line}\n`);
  const { nodes, gateways, shards, namespaces, load } = options;
  const stopping = new AbortController();
  const places = probePlaces(shards);
  const others = pullPlaces(places, PULLERS + RIDES + 1);
  const disks = options.plan.some(({ fault }) => NEEDS_DISKS.includes(fault));
  const made = { nodes, gateways, shards, namespaces, cityDir: null, disks, say };
  const stage = await Stage.make(made);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      say(stopping.signal.aborted ? "ending at once" : "no more faults (once more: end at once)");
      if (stopping.signal.aborted) void stage.end().finally(() => process.exit(2));
      stopping.abort();
    });
  }
  const { why } = stage.hosts;
  say(
    why === null
      ? "three hosts, each in a network namespace of its own"
      : `one host: ${why}; no cables are pulled`,
  );
  const endAll = setTimeout(
    () => {
      say("the run hangs and is given up");
      void stage.end().finally(() => process.exit(2));
    },
    options.limitMin * 60_000 + OVERTIME_MS,
  );
  try {
    await stage.start();
    const system = { ...stage.system, natsUrl: stage.cluster.natsUrls.join(",") };
    const history = new History();
    const ground: Ground = {
      stage,
      history,
      say,
      load: new Load(system, load, history),
      prober: new Prober(system, places, history),
      pullers: new Pullers(system, others.slice(0, PULLERS), history),
      rides: new Rides(system, others.slice(PULLERS, PULLERS + RIDES), history),
      twins: new Twins(system, (others.at(-1) as PullPlace).at, history),
      events: await EventWatch.open(system.natsUrl, system.natsPrefix, system.natsCredentials),
    };
    const noDisks = stage.whyNoDisks;
    if (disks && noDisks !== null) say(`no disks are filled: ${noDisks}`);
    const plan = options.plan
      .filter(({ fault }) => why === null || !NEEDS_CABLES.includes(fault))
      .filter(({ fault }) => noDisks === null || !NEEDS_DISKS.includes(fault));
    const rounds = await doAll(ground, plan, options, stopping.signal);
    say("no more deliveries; what is open finishes ...");
    await ground.load.stop(progress(say));
    await ground.pullers.close();
    await ground.twins.close();
    await ground.rides.close();
    await ground.prober.close();
    say("checking Postgres, the events and the history ...");
    const judgement = await judgeRun(system, ground, rounds);
    await ground.events.stop();
    if (options.history !== null) writeHistory(options.history, history);
    return report(options, plan, rounds, judgement, say);
  } finally {
    clearTimeout(endAll);
    say("stopping ...");
    if (options.keepLogs !== null) stage.keepLogs(options.keepLogs);
    await stage.end();
  }
}

/** Every fault of the plan in turn, until it is done, time is up or somebody wants to stop. */
async function doAll(
  ground: Ground,
  plan: readonly PlanItem[],
  options: FaultOptions,
  signal: AbortSignal,
): Promise<Round[]> {
  const { stage, load, prober, say } = ground;
  await prober.open();
  await ground.pullers.open();
  await ground.rides.open();
  await ground.twins.open();
  say(`load: ${await load.start()}, ${options.load.couriers} couriers`);
  let missing = await stage.settle();
  for (let more = 0; missing.length > 0 && more < SETTLES_MORE; more++)
    missing = await stage.settle();
  if (missing.length > 0) throw new SetupError(`the cluster is not whole: ${missing.join(", ")}`);
  await sleep(WARM_UP_MS);
  const until = Date.now() + options.limitMin * 60_000;
  const total = plan.reduce((sum, { count }) => sum + count, 0);
  const rounds: Round[] = [];
  for (const { fault, title, count } of plan) {
    for (let turn = 0; turn < count; turn++) {
      if (signal.aborted || Date.now() > until) return rounds;
      const round = await runRound(ground, fault, turn);
      rounds.push(round);
      writeReport(options, { rows: rowsOf(plan, rounds, []), rounds, judgement: null });
      say(`${String(rounds.length).padStart(3)}/${total} ${roundLine(round)}`);
      for (const text of round.complaints) say(`        VIOLATION: ${text}`);
      for (const text of round.notes) say(`        ${text}`);
    }
    // So far: what the checker finds, it finds at the end.
    const [row] = rowsOf([{ fault, title, count }], rounds, []);
    if (row !== undefined) say(`${tableText([row])}\n`);
  }
  return rounds;
}

function roundLine(round: Round): string {
  const { fault, victim, shards, servedMs, answeredMs, requests, refused, slow } = round;
  const { offersLost, eventsToldMs, positionsGapMs, creates, accepts, claims } = round;
  const seconds = (ms: number | null): string => ((ms ?? 0) / 1_000).toFixed(2);
  const served =
    servedMs === null
      ? "NOT SERVED"
      : `served after ${seconds(servedMs)} s (creates answered after ${seconds(answeredMs)} s)`;
  const lost = offersLost === 0 ? "" : `, ${offersLost} OFFERS LOST`;
  return (
    `${fault} (${victim}): ${shards} shards ${served}; of ${requests} requests ` +
    `${refused} refused, ${slow} slow${lost}; ${answersText("creates", creates)}; ` +
    `${answersText("accepts", accepts)}; events told within ${seconds(eventsToldMs)} s, positions ${seconds(positionsGapMs)} s; ${claims} answers held against rows`
  );
}

const answersText = (what: string, { answered, unanswered, slowestMs }: Answers): string =>
  `${answered} ${what} answered${unanswered > 0 ? `, ${unanswered} NOT` : ""} ` +
  `(slowest ${(slowestMs / 1_000).toFixed(2)} s)`;

/** What was held against the rows after the faults, and once more at the end. */
function comparedLine(rounds: readonly Round[], { compared }: Judgement): string {
  const sum = (of: (round: Round) => number): number =>
    rounds.reduce((total, round) => total + of(round), 0);
  const kinds = (["lost", "doubled", "changed"] as const).map((kind) => {
    const after = sum(({ mismatches }) => mismatches.filter((one) => one.kind === kind).length);
    const atEnd = compared.mismatches.filter((one) => one.kind === kind).length;
    return `${kind} ${after} after a fault, ${atEnd} at the end`;
  });
  const total = sum(({ claims }) => claims);
  return `${total} acknowledged requests held against their rows: ${kinds.join("; ")}`;
}

function progress(say: (line: string) => void): (text: string) => void {
  let saidAt = 0;
  return (text) => {
    if (Date.now() - saidAt < 10_000) return;
    saidAt = Date.now();
    say(text);
  };
}

/**
 * The report as JSON, in the file that was asked for. `judgement` is null while faults are done.
 */
function writeReport(
  options: FaultOptions,
  figures: {
    readonly rows: readonly Row[];
    readonly rounds: readonly Round[];
    readonly judgement: Judgement | null;
  },
): string {
  const { nodes, gateways, shards, planName, report } = options;
  const settings = { planName, nodes, gateways, shards, couriers: options.load.couriers };
  const text = `${JSON.stringify({ settings, ...figures })}\n`;
  if (report !== null) writeFileSync(report, text);
  return text;
}

function writeHistory(file: string, { requests }: History): void {
  writeFileSync(file, `${requests.map((request) => JSON.stringify(request)).join("\n")}\n`);
}

function report(
  options: FaultOptions,
  plan: readonly PlanItem[],
  rounds: readonly Round[],
  judgement: Judgement,
  say: (line: string) => void,
): number {
  const rows = rowsOf(plan, rounds, judgement.findings);
  const { inRounds, elsewhere } = violationsOf(rows, judgement.findings);
  const { check, requests, unknown, judged } = judgement;
  say(`\n${tableText(rows)}\n`);
  say(
    `${check.deliveries} deliveries, ${check.events} events, ${requests} requests ` +
      `(${unknown} without an answer), ${judged} histories put into order`,
  );
  say(comparedLine(rounds, judgement));
  for (const note of judgement.notes) say(note);
  for (const line of findingLines(judgement, rounds)) say(line);
  const planned = plan.reduce((sum, { count }) => sum + count, 0);
  if (rounds.length < planned) say(`${planned - rounds.length} faults of the plan were not done`);
  say(`violations: ${inRounds + elsewhere}`);
  const text = writeReport(options, { rows, rounds, judgement });
  if (options.json) process.stdout.write(text);
  return inRounds + elsewhere > 0 ? 1 : 0;
}
