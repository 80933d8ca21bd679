/**
 * For tests: a NATS server that asks everybody who they are, with our account and those of
 * partners, and a gateway on it. Partners are added through the very code behind `npm run partner`.
 */
import { join } from "node:path";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import type { ConnectionOptions, NatsConnection } from "@nats-io/transport-node";
import { jetstreamManager } from "@nats-io/jetstream";
import { ensureStreams } from "../../engine/streams/streams.ts";
import { writeFileSync } from "node:fs";
import { subjectsFor } from "../../proto/subjects.ts";
import { ACCOUNTS_FILE, newUserKey, writeAccounts } from "../../scripts/run/nats-keys.ts";
import { PartnerAdmin } from "../../scripts/run/partner-admin.ts";
import { cacheFolder, projectRoot, stateFolder } from "../../scripts/run/state.ts";
import { findNatsServer } from "../../scripts/services/nats-binary.ts";
import { startNatsServer } from "../../scripts/services/nats.ts";
import { sendSignal } from "../../scripts/services/process.ts";
import { freePort } from "../../scripts/services/ports.ts";
import { makeTestFolder } from "../../scripts/testing/folder.ts";
import { testPrefix } from "../../scripts/testing/services.ts";
import { renderAccounts } from "../partners/accounts.ts";
import { startTestGateway } from "./gateway.ts";
import type { TestGateway } from "./gateway.ts";
import type { Notifier } from "../events/notify/notifier.ts";

export type PartnerSystem = {
  readonly t: TestGateway;
  readonly admin: PartnerAdmin;
  readonly prefix: string;
  readonly natsUrl: string;
  /** The file with the key of our own processes. */
  readonly ownSeedFile: string;
  /** A connection as a partner would open it. */
  readonly connectAs: (
    name: string,
    seed: string,
    more?: Partial<ConnectionOptions>,
  ) => Promise<NatsConnection>;
  readonly killNats: () => Promise<void>;
  readonly startNats: () => Promise<void>;
  readonly close: () => Promise<void>;
};

export async function startPartnerSystem(notifier?: Notifier): Promise<PartnerSystem> {
  const root = projectRoot();
  const binary = await findNatsServer(cacheFolder(stateFolder(root)), () => undefined);
  const folder = makeTestFolder(root, undefined);
  const inner = join(folder.path, "nats");
  const accountsFile = join(inner, ACCOUNTS_FILE);
  const prefix = testPrefix();
  const own = newUserKey();
  const ownSeedFile = join(folder.path, "seed");
  writeFileSync(ownSeedFile, own.seed);
  writeAccounts(accountsFile, renderAccounts({ prefix, ownKeys: [own.publicKey], partners: [] }));
  const port = await freePort();
  const start = () =>
    startNatsServer({
      binary,
      folder: inner,
      port,
      config: `include ${JSON.stringify(ACCOUNTS_FILE)}\n`,
      credentials: ownSeedFile,
      onSpawn: (record) => folder.list.add(record),
    });
  let server = await start();
  const t = await startTestGateway({
    outward: {
      natsUrl: server.url,
      credentials: ownSeedFile,
      prefix,
      ...(notifier === undefined ? {} : { notifier }),
    },
  });
  const manager = await jetstreamManager(t.nats, { checkAPI: false });
  await ensureStreams(manager, prefix, 1, { CELLS: 1 << 20, LEDGER: 1 << 20, EVENTS: 1 << 26 });
  const admin = new PartnerAdmin({
    store: t.partners,
    nats: t.nats,
    prefix,
    ownKeys: [own.publicKey],
    accountsFile,
    natsUrl: server.url,
    reload: () => sendSignal(server.pid, "SIGHUP"),
  });
  const opened: NatsConnection[] = [];
  return {
    t,
    admin,
    prefix,
    natsUrl: server.url,
    ownSeedFile,
    async connectAs(name, seed, more = {}) {
      const nc = await connect({
        servers: server.url,
        name,
        authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
        inboxPrefix: subjectsFor(prefix).partnerInbox(name),
        reconnect: false,
        ...more,
      });
      opened.push(nc);
      return nc;
    },
    async killNats() {
      sendSignal(server.pid, "SIGKILL");
      await server.exited;
    },
    async startNats() {
      server = await start();
    },
    async close() {
      for (const nc of opened) if (!nc.isClosed()) await nc.close();
      await t.close();
      await server.stop();
      folder.remove();
    },
  };
}
