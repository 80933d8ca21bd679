/**
 * `npm run replay`: a city's day, played against the running system through its public doors, and a
 * report of how it did. Exit code 0: all promises held; 1: one was broken; 2: it could not run.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { checkData, ledgersOf } from "../check.ts";
import type { CheckReport } from "../check/rules.ts";
import { projectRoot } from "../run/state.ts";
import { figuresOf } from "./figures.ts";
import { USAGE, parseReplayArgs } from "./options.ts";
import type { ReplayOptions } from "./options.ts";
import { repeatCreates } from "./repeats.ts";
import { reportHtml } from "./report-html.ts";
import { notesOf, reportText } from "./report-text.ts";
import { runReplay } from "./run.ts";
import type { Run, Say } from "./run.ts";
import { findSystem } from "./system.ts";
import type { System } from "./system.ts";

const PLAIN_PROGRESS_MS = 10_000;

/**
 * With --json standard output carries the JSON alone, and everything for people goes to standard
 * error.
 */
function speaker(json: boolean): Say {
  const out = json ? process.stderr : process.stdout;
  let plainAt = 0;
  let pending = false;
  return {
    line: (text) => {
      out.write(pending ? `\r\u001b[2K${text}\n` : `${text}\n`);
      pending = false;
    },
    progress: (text) => {
      if (out.isTTY) {
        out.write(`\r\u001b[2K${text.slice(0, Math.max(20, (out.columns ?? 80) - 1))}`);
        pending = true;
      } else if (Date.now() - plainAt >= PLAIN_PROGRESS_MS) {
        out.write(`${text}\n`);
        plainAt = Date.now();
      }
    },
  };
}

async function main(options: ReplayOptions): Promise<void> {
  const say = speaker(options.json);
  const system = findSystem(options.url);
  await untilReachable(system);
  const run = await runReplay(options, system, say);
  const repeats = await repeatCreates(system, run.tales);
  say.line(`${repeats.repeated} creates were sent again with their keys: ${repeats.summary}`);
  const check = options.check ? await checked(system, run, say) : null;
  const figures = figuresOf(run);
  const text = reportText(run, figures, check);
  say.line(text);
  const violations = [...(check?.violations ?? []), ...run.tales.violations];
  for (const line of await ledgersOf(system, violations)) say.line(line);
  const file = options.report ?? join(projectRoot(), "reports", `replay-${stamp()}.html`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, reportHtml(run, { figures, check, text }));
  say.line(`\nThe same with plots: ${file}`);
  if (options.json) {
    const { data: _, ...settings } = options;
    const json = { options: settings, world: run.world.name, figures, notes: notesOf(run), check };
    process.stdout.write(`${JSON.stringify(json)}\n`);
  }
  process.exit(violations.length > 0 ? 1 : 0);
}

async function checked(system: System, run: Run, say: Say): Promise<CheckReport> {
  say.line("checking Postgres and the events ...");
  const { creates, accepts, statuses, cancels } = run.tales.acknowledged;
  const ids = creates.map(({ id }) => id);
  return checkData(system, { creates: ids, accepts, statuses, cancels });
}

async function untilReachable(system: System): Promise<void> {
  try {
    await fetch(`${system.publicUrl}/v1/openapi.json`, { signal: AbortSignal.timeout(5_000) });
  } catch {
    throw new Error(`nothing answers at ${system.publicUrl}: run \`npm start\` first`);
  }
}

const stamp = (): string => new Date().toISOString().slice(0, 19).replaceAll(":", "-");

try {
  if (process.argv.includes("--help")) process.stdout.write(`${USAGE}\n`);
  else await main(parseReplayArgs(process.argv.slice(2)));
} catch (error) {
  const text =
    process.env["DEBUG"] === undefined ? (error as Error).message : String((error as Error).stack);
  process.stderr.write(`\n${text}\n`);
  process.exit(2);
}
