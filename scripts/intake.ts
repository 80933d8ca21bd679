// What lies buried of the intake: `npm run -s intake -- list`, `explain`, `put-back`. It works on
// the system that `npm start` runs from this folder, or on the one that HEXDISPATCH_NATS_URL names.
// The work is in engine/streams/intake-buried.ts; here are the words.

import { parseArgs } from "node:util";
import { BuriedCreates, REASONS } from "../engine/streams/intake-buried.ts";
import type { Buried } from "../engine/streams/intake-buried.ts";
import { connectNats } from "../engine/io/nats/nats.ts";
import { findSystem } from "./replay/system.ts";
import { SetupError } from "./services/process.ts";

const USAGE = `npm run -s intake -- list | explain ID | put-back ID | put-back --all

  list      creates that were acknowledged and are buried: the database refused them for good
  explain   why one is buried, and what to do about it
  put-back  gives it to the worker once more; repeating it does no harm

  ID is the number that \`list\` shows, or the id of the delivery.
  HEXDISPATCH_NATS_URL, HEXDISPATCH_NATS_CREDENTIALS name a system that was not started here.`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const lineOf = ({ seq, at, why, code, delivery, owner }: Buried): string =>
  [
    seq,
    at.toISOString(),
    code === null ? why : `${why} ${code}`,
    delivery ?? "?",
    owner ?? "?",
  ].join("\t");

function explain(buried: Buried): void {
  say(lineOf(buried));
  if (buried.acknowledgedAt !== null) {
    say(`acknowledged ${buried.acknowledgedAt.toISOString()}`);
  }
  if (buried.error !== null) say(`the database said: ${buried.error}`);
  say(REASONS[buried.why] ?? "The reason is of another version.");
}

async function run(buried: BuriedCreates, command: string, name: string): Promise<void> {
  if (command === "list") {
    const all = await buried.list();
    for (const one of all) say(lineOf(one));
    return say(`${await buried.count()} buried`);
  }
  if (command === "put-back" && name === "") {
    for (const { seq } of await buried.list()) say(`${seq}\t${await buried.putBack(seq)}`);
    return say(`${await buried.count()} buried`);
  }
  const one = await buried.find(name);
  if (one === null) throw new SetupError(`nothing is buried as ${name}`);
  if (command === "explain") return explain(one);
  await buried.putBack(one.seq);
  say(`${one.seq} is with the worker; if it is refused again it comes back here`);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { all: { type: "boolean", default: false } },
  });
  const [command = "", name = ""] = positionals;
  const isKnown = ["list", "explain", "put-back"].includes(command);
  const takesName = command === "explain" || (command === "put-back" && !values.all);
  if (!isKnown || takesName === (name === "")) throw new SetupError(USAGE);
  const system = findSystem();
  const nc = await connectNats({
    url: system.natsUrl,
    name: "intake",
    credentials: system.natsCredentials,
  });
  try {
    await run(new BuriedCreates(nc, system.natsPrefix), command, name);
  } finally {
    await nc.close();
  }
}

main().catch((error: unknown) => {
  const known =
    error instanceof SetupError || (error as { code?: string }).code?.startsWith("ERR_PARSE");
  process.stderr.write(`${known ? (error as Error).message : String(error)}\n`);
  process.exit(known ? 2 : 1);
});
