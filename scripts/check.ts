/**
 * `npm run check:data`: holds everything that Postgres and the EVENTS stream have against D1, D2,
 * D3 and D5; D4 and D6 are what clients see. The replay runs the same checks at its end, with what
 * its clients were told. The exit code is 1 when a promise is broken.
 */
import { pathToFileURL } from "node:url";
import { RestClient } from "../sdk/rest.ts";
import { loadFacts } from "./check/load.ts";
import { checkFacts } from "./check/rules.ts";
import type { AcknowledgedFacts, CheckReport, Violation } from "./check/rules.ts";
import { checkLines } from "./replay/report-text.ts";
import { findSystem } from "./replay/system.ts";
import type { System } from "./replay/system.ts";

const LEDGERS_SHOWN_MAX = 5;
const NOTHING: AcknowledgedFacts = { creates: [], accepts: [], statuses: [], cancels: [] };

/** Loads and judges. Throws when a source cannot be read. */
export async function checkData(
  system: System,
  acknowledged: AcknowledgedFacts = NOTHING,
): Promise<CheckReport> {
  const { postgresUrl, natsUrl, natsPrefix, natsCredentials } = system;
  if (postgresUrl === null) {
    throw new Error("set HEXDISPATCH_POSTGRES_URL: the state folder does not know the database");
  }
  return checkFacts(
    await loadFacts({ postgresUrl, natsUrl, natsPrefix, natsCredentials }, acknowledged),
  );
}

/**
 * What the engine wrote down about the first deliveries that broke a promise, for whoever looks
 * into it.
 */
export async function ledgersOf(
  system: System,
  violations: readonly Pick<Violation, "delivery">[],
): Promise<string[]> {
  const token = await system.token("operator", "ops_check");
  const rest = new RestClient({ url: system.publicUrl, getToken: () => token });
  const ids = [...new Set(violations.map(({ delivery }) => delivery))].filter((id) => id !== null);
  const lines: string[] = [];
  for (const id of ids.slice(0, LEDGERS_SHOWN_MAX)) {
    lines.push(`  ledger of ${id}:`);
    try {
      for (const entry of await rest.ledger(id)) lines.push(`    ${JSON.stringify(entry)}`);
    } catch (error) {
      lines.push(`    not to be had: ${(error as Error).message}`);
    }
  }
  const more = ids.length - LEDGERS_SHOWN_MAX;
  return more > 0 ? [...lines, `  and the ledgers of ${more} more deliveries`] : lines;
}

async function main(): Promise<void> {
  const system = findSystem();
  const report = await checkData(system);
  const lines = [...checkLines(report), ...(await ledgersOf(system, report.violations))];
  process.stdout.write(`${lines.join("\n")}\n`);
  if (report.violations.length > 0) process.exitCode = 1;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  main().catch((error: unknown) => {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 2;
  });
}
