// Partners on NATS: `npm run -s partner -- add acme > acme.nk` makes one and prints the seed of its
// key, once, on standard output; everything else goes to standard error. It works on the system
// that `npm start` runs from this folder, or on the one that HEXDISPATCH_POSTGRES_URL and
// HEXDISPATCH_NATS_URL name; then the file with the accounts is for the operator to bring to the
// servers.

import { join } from "node:path";
import { parseArgs } from "node:util";
import { maskedNatsUrl, parseNatsAddress } from "../engine/io/nats/address.ts";
import { connectNats } from "../engine/io/nats/nats.ts";
import { openPartnerStore } from "../engine/store/partners.ts";
import { subjectsFor } from "../proto/subjects.ts";
import { isTestPrincipal } from "../proto/test-mode.ts";
import { findSystem } from "./replay/system.ts";
import type { System } from "./replay/system.ts";
import { ACCOUNTS_FILE, localAccountsFile, ownSeedFile, publicKeyOf } from "./run/nats-keys.ts";
import { PartnerAdmin } from "./run/partner-admin.ts";
import { stateFolder } from "./run/state.ts";
import { SetupError, isRunning, sendSignal } from "./services/process.ts";

const USAGE = `npm run -s partner -- add NAME | rotate NAME [--finish] | remove NAME | list | sync

  add      makes a partner; its private key is printed once, keep it: npm run -s partner -- add acme > acme.nk
  rotate   prints a second key, good at once; with --finish only the newest stays good
  remove   closes its connections and lets nobody in under its name
  sync     writes the accounts of the NATS server anew

  HEXDISPATCH_POSTGRES_URL, HEXDISPATCH_NATS_URL, HEXDISPATCH_NATS_CREDENTIALS name a system that was not
  started here; HEXDISPATCH_NATS_ACCOUNTS_FILE says where its accounts are written.`;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Makes the server that `npm start` runs read its accounts. Null: it is not ours. */
function reloadOf(system: System): (() => void) | null {
  if (process.env["HEXDISPATCH_NATS_URL"]) return null;
  const server = system.processes.find(({ name }) => name === "nats-server");
  if (server === undefined || !isRunning(server)) return null;
  return () => sendSignal(server.pid, "SIGHUP");
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { finish: { type: "boolean", default: false } },
  });
  const [command = "", name = ""] = positionals;
  const needsName = command === "add" || command === "rotate" || command === "remove";
  if (!needsName && command !== "list" && command !== "sync") throw new SetupError(USAGE);
  if (needsName === (name === "")) throw new SetupError(USAGE);
  const system = findSystem();
  if (system.postgresUrl === null)
    throw new SetupError("no Postgres is known: run `npm start` first");
  const folder = stateFolder();
  const isOurs = !process.env["HEXDISPATCH_NATS_URL"];
  const { login } = parseNatsAddress(system.natsUrl);
  const seedFile =
    login === null ? process.env["HEXDISPATCH_NATS_CREDENTIALS"] || ownSeedFile(folder) : null;
  const usual = isOurs ? localAccountsFile(folder) : join(folder, ACCOUNTS_FILE);
  const accountsFile = process.env["HEXDISPATCH_NATS_ACCOUNTS_FILE"] || usual;
  const reload = reloadOf(system);
  const store = openPartnerStore({ url: system.postgresUrl, applicationName: "partner" });
  const nats = await connectNats({
    url: system.natsUrl,
    name: "partner",
    credentials: seedFile,
  }).catch((error: unknown) => {
    say(`NATS is not there (${(error as Error).message}); the gateways will do what is left`);
    return null;
  });
  const admin = new PartnerAdmin({
    store,
    nats,
    prefix: system.natsPrefix,
    ownKeys: seedFile === null ? [] : [publicKeyOf(seedFile)],
    ownUser: login?.kind === "user" ? login.user : null,
    accountsFile,
    reload,
    natsUrl: system.natsUrl,
  });
  try {
    if (command === "list") {
      for (const row of await admin.list()) {
        process.stdout.write(`${row.name}\t${row.keys.join(" ")}\n`);
      }
      return;
    }
    if (command === "sync") await admin.sync();
    if (command === "remove") await admin.remove(name);
    if (command === "rotate" && values.finish) await admin.finish(name);
    const isNewKey = command === "add" || (command === "rotate" && !values.finish);
    if (isNewKey) {
      const seed = command === "add" ? await admin.add(name) : await admin.rotate(name);
      process.stdout.write(`${seed}\n`);
      const subjects = subjectsFor(system.natsPrefix);
      say(
        `partner ${name}: ${maskedNatsUrl(system.natsUrl)}, requests on ${subjects.partnerRequests(name)}`,
      );
      if (isTestPrincipal(name)) say("everything it asks for is a test, carried by robots");
      say("this key is shown once and kept nowhere; see docs/partners.md");
    }
    if (reload === null) say(`now bring ${accountsFile} to the NATS servers and reload them twice`);
  } finally {
    await store.close();
    await nats?.close();
  }
}

main().catch((error: unknown) => {
  const known =
    error instanceof SetupError || (error as { code?: string }).code?.startsWith("ERR_PARSE");
  process.stderr.write(`${known ? (error as Error).message : (error as Error).stack}\n`);
  process.exit(known ? 2 : 1);
});
