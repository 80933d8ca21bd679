// What `npm run partner` does: partners in Postgres, their consumers, and the file with the
// accounts of the NATS server, which is always written anew from Postgres. The private part of a
// key is handed to the caller and forgotten.

import { JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import type { PartnerRow, PartnerStore } from "../../engine/store/partners.ts";
import { connectOptions } from "../../engine/io/nats/connect.ts";
import { reachOf, renderAccounts } from "../../gateway/partners/accounts.ts";
import { ensurePartnerConsumer } from "../../gateway/partners/registry.ts";
import { isPrincipalId } from "../../proto/ids.ts";
import type { PrincipalId } from "../../proto/ids.ts";
import { partnerConsumer, streamName } from "../../proto/subjects.ts";
import { SetupError } from "../services/process.ts";
import { newUserKey, writeAccounts } from "./nats-keys.ts";

export interface PartnerAdminOptions {
  readonly store: Pick<PartnerStore, "partners" | "putPartner" | "removePartner">;
  /** With our own key; null when NATS is not there: the gateways make the consumers later. */
  readonly nats: NatsConnection | null;
  readonly prefix: string;
  readonly ownKeys: readonly string[];
  /** Our own user where processes have a password in place of a key. */
  readonly ownUser?: string | null;
  readonly accountsFile: string;
  /** Makes the server at `natsUrl` read the file; null where that is somebody else's. */
  readonly reload: (() => void) | null;
  readonly natsUrl: string;
}

const RELOADS_MAX = 20;
const RELOAD_MS = 300;

const NOT_FOUND = new Set([10_014, 10_059]);

export class PartnerAdmin {
  readonly #options: PartnerAdminOptions;

  constructor(options: PartnerAdminOptions) {
    this.#options = options;
  }

  list(): Promise<readonly PartnerRow[]> {
    return this.#options.store.partners();
  }

  /** A new partner. Resolves to the seed of its key. */
  async add(name: string): Promise<string> {
    const partner = checkedName(name);
    if ((await this.#find(name)) !== null)
      throw new SetupError(`there is a partner ${name} already`);
    const { seed, publicKey } = newUserKey();
    await this.#options.store.putPartner({ name: partner, keys: [publicKey] });
    // Before the reload, in the middle of which the server may not answer.
    await this.#ensureConsumer(partner);
    await this.sync();
    await this.#settle(name, seed);
    return seed;
  }

  /** A further key; the newest so far stays good until `finish`. Resolves to the seed. */
  async rotate(name: string): Promise<string> {
    const { keys } = await this.#known(name);
    const { seed, publicKey } = newUserKey();
    await this.#options.store.putPartner({
      name: checkedName(name),
      keys: [...keys.slice(-1), publicKey],
    });
    await this.sync();
    await this.#settle(name, seed);
    return seed;
  }

  /** Ends a rotation: only the newest key stays good. */
  async finish(name: string): Promise<void> {
    const { keys } = await this.#known(name);
    await this.#options.store.putPartner({ name: checkedName(name), keys: keys.slice(-1) });
    await this.sync();
  }

  /** Nobody comes in under this name any more; its connections are closed by the reload. */
  async remove(name: string): Promise<void> {
    const { name: partner } = await this.#known(name);
    await this.#options.store.removePartner(partner);
    await this.#removeConsumer(partner);
    await this.sync();
  }

  /** Writes the accounts from what Postgres knows, and has the servers read them. */
  async sync(): Promise<void> {
    const { store, prefix, ownKeys, ownUser = null, accountsFile, reload } = this.#options;
    const partners = await store.partners();
    writeAccounts(accountsFile, renderAccounts({ prefix, ownKeys, ownUser, partners }));
    reload?.();
  }

  /**
   * Reloads until the partner comes in and reaches its consumer's subject: a server takes what a
   * new account imports only at the second time, and does not say when it is done.
   */
  async #settle(name: string, seed: string): Promise<void> {
    const { reload, natsUrl, prefix } = this.#options;
    if (reload === null) return;
    for (let attempt = 0; attempt < RELOADS_MAX; attempt += 1) {
      await sleep(RELOAD_MS);
      if (await comesIn(natsUrl, prefix, name, seed)) return;
      reload();
    }
    throw new SetupError(`the NATS server does not let ${name} in; look into its log`);
  }

  async #find(name: string): Promise<PartnerRow | null> {
    const all = await this.#options.store.partners();
    return all.find((row) => row.name === name) ?? null;
  }

  async #known(name: string): Promise<PartnerRow> {
    const found = await this.#find(checkedName(name));
    if (found === null) throw new SetupError(`there is no partner ${name}`);
    return found;
  }

  async #ensureConsumer(name: string): Promise<void> {
    const { nats, prefix } = this.#options;
    if (nats === null) return;
    try {
      await ensurePartnerConsumer(nats, prefix, name);
    } catch (error) {
      // No stream yet, because no node has run: the gateways make it when there is one.
      if (!(error instanceof JetStreamApiError && NOT_FOUND.has(error.code))) throw error;
    }
  }

  async #removeConsumer(name: string): Promise<void> {
    const { nats, prefix } = this.#options;
    if (nats === null) return;
    const api = await jetstreamManager(nats, { checkAPI: false });
    try {
      await api.consumers.delete(streamName(prefix, "EVENTS"), partnerConsumer(name));
    } catch (error) {
      if (!(error instanceof JetStreamApiError && NOT_FOUND.has(error.code))) throw error;
    }
  }
}

async function comesIn(url: string, prefix: string, name: string, seed: string): Promise<boolean> {
  const { inbox, info } = reachOf(prefix, name);
  try {
    const nc = await connect({
      ...connectOptions(url, null),
      authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
      inboxPrefix: inbox,
      reconnect: false,
    });
    try {
      // The server itself answers this, with or without gateways; also when there is no stream yet.
      await nc.request(info.theirs, "", { timeout: 1_000 });
      return true;
    } finally {
      await nc.close();
    }
  } catch {
    return false; // Not yet: asked again.
  }
}

function checkedName(name: string): PrincipalId {
  if (isPrincipalId(name)) return name;
  throw new SetupError("a partner's name is 1 to 64 letters, digits, - and _");
}
