// What faults happen on: the cluster with its hosts, standby and owners, and the way back to order
// after each fault. It owns what it started and ends all of it.

import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { randomBytes } from "node:crypto";
import { chmodSync, cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectOptions } from "../../engine/io/nats/connect.ts";
import { signToken } from "../../gateway/token.ts";
import { streamName } from "../../proto/subjects.ts";
import { Cluster } from "../cluster/cluster.ts";
import { makeDatabase } from "../cluster/database.ts";
import { FactFinder } from "../cluster/facts.ts";
import type { Member } from "../cluster/member.ts";
import type { OwnerFacts } from "../cluster/table.ts";
import { TOKEN_TTL_S } from "../replay/system.ts";
import type { System } from "../replay/system.ts";
import { cacheFolder, keptSecret, projectRoot, stateFolder } from "../run/state.ts";
import { findNatsServer } from "../services/nats-binary.ts";
import { freePort } from "../services/ports.ts";
import { findPostgres, makeOwnFolder } from "../services/postgres-binary.ts";
import { makeTestFolder, sweepTestFolders } from "../testing/folder.ts";
import { withAdmin } from "./database-faults.ts";
import type { DatabaseFault } from "./database-faults.ts";
import { makeDisks } from "./disks.ts";
import type { Disk, Disks } from "./disks.ts";
import { nowMs } from "./history.ts";
import { makeHosts } from "./namespaces.ts";
import type { Hosts } from "./namespaces.ts";
import { makeNatsAuth, refusedByNats, withoutStore } from "./nats-faults.ts";
import { WIDE_AREA } from "./places.ts";

const PREFIX = "hd";
const SETTLE_DEADLINE_MS = 60_000;
/**
 * A node that comes back takes its shards over meanwhile; without that the next fault starts
 * anyway.
 */
const BALANCE_DEADLINE_MS = 10_000;
const POLL_MS = 100;
/** As long as the usual supervisors wait. */
const SUPERVISED_AFTER_MS = 1_000;
const POSTGRES_DISK_MB = 1_024;
const NATS_DISK_MB = 512;
const NATS_NAMES = ["nats1", "nats2", "nats3"] as const;

export interface StageOptions {
  readonly nodes: number;
  readonly gateways: number;
  readonly shards: number;
  readonly namespaces: boolean;
  readonly cityDir: string | null;
  /** Whether disks are to be such that can be filled, where that is allowed. */
  readonly disks: boolean;
  readonly say: (line: string) => void;
}

type Parts = {
  readonly cluster: Cluster;
  readonly hosts: Hosts;
  readonly system: System;
  readonly shards: number;
  readonly folder: string;
  readonly removeFolder: () => void;
  readonly appPassword: string;
  readonly natsLine: string;
  readonly disks: Disks;
};

export class Stage {
  readonly cluster: Cluster;
  readonly hosts: Hosts;
  readonly finder: FactFinder;
  readonly system: System;
  readonly shards: number;
  readonly #parts: Parts;
  readonly #mounted = new Map<string, Disk>();
  #endings: string[] = [];
  #nats: NatsConnection | null = null;

  private constructor(parts: Parts) {
    this.cluster = parts.cluster;
    this.hosts = parts.hosts;
    this.system = parts.system;
    this.shards = parts.shards;
    this.finder = new FactFinder(parts.cluster, parts.system.postgresUrl ?? "", parts.shards);
    this.#parts = parts;
  }

  /** Everything placed, nothing started. */
  static async make(options: StageOptions): Promise<Stage> {
    const { nodes, gateways, shards, namespaces, say } = options;
    const appPassword = randomBytes(12).toString("hex");
    const root = projectRoot();
    await sweepTestFolders(root);
    const natsBinary = await findNatsServer(cacheFolder(stateFolder(root)), say);
    const binaries = findPostgres(root, say);
    const folder = makeTestFolder(root, binaries.user);
    mkdirSync(join(folder.path, "logs"), { recursive: true });
    const hosts = makeHosts(namespaces ? 3 : 0);
    const onSpawn = folder.list.add.bind(folder.list);
    const database = makeDatabase({
      binaries,
      folder: join(folder.path, "postgres"),
      password: keptSecret(folder.path, "postgres-password"),
      port: await freePort(),
      standbyPort: await freePort(),
      appPassword,
      // What it keeps of its log must have room on a disk in memory.
      settings: { max_wal_size: "256MB" },
      onSpawn,
    });
    const natsAuth = makeNatsAuth(folder.path);
    const key = keptSecret(folder.path, "auth-key");
    const area = [WIDE_AREA.west, WIDE_AREA.south, WIDE_AREA.east, WIDE_AREA.north].join(",");
    const cluster = new Cluster({
      root,
      folder: folder.path,
      natsBinary,
      hosts: hosts.hosts,
      database,
      authKey: key,
      publicPort: await freePort(),
      nodes,
      gateways,
      settings: {
        HEXDISPATCH_SHARDS: String(shards),
        HEXDISPATCH_SERVICE_AREA: area,
        ...(options.cityDir === null ? {} : { HEXDISPATCH_CITY_DIR: options.cityDir }),
      },
      natsAuth,
      onSpawn,
      say,
    });
    const system: System = {
      publicUrl: cluster.publicUrl,
      // Nobody asks these doors: there are several of each.
      adminUrl: cluster.publicUrl,
      nodeAdminUrl: null,
      natsUrl: "",
      natsCredentials: natsAuth.onlooker,
      natsPrefix: PREFIX,
      postgresUrl: database.url,
      processes: [],
      token: (role, sub) => signToken({ role, sub, ttlS: TOKEN_TTL_S }, key),
    };
    say(`logs are in ${join(folder.path, "logs")} while it runs`);
    return new Stage({
      ...{ cluster, hosts, system, shards, appPassword, natsLine: natsAuth.processLine },
      ...{ folder: folder.path, removeFolder: folder.remove, disks: makeDisks(options.disks) },
    });
  }

  async start(): Promise<void> {
    this.#mountDisks();
    await this.cluster.start();
    this.#nats = await connect({
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      pingInterval: 2_000,
      ...connectOptions(this.cluster.natsUrls.join(","), this.system.natsCredentials),
    });
    const onEnded = ({ name }: Member, how: string): void =>
      void this.#endings.push(`${name} (${how})`);
    for (const kind of ["node", "gateway"] as const) {
      for (const member of this.cluster.ofKind(kind)) {
        member.supervise({ afterMs: SUPERVISED_AFTER_MS, onEnded });
      }
    }
  }

  /** Why no disk can be filled; null when they can. */
  get whyNoDisks(): string | null {
    return this.#parts.disks.why;
  }

  #mountDisks(): void {
    const { disks, folder } = this.#parts;
    if (disks.why !== null) return;
    const mount = (name: string, path: string, megabytes: number): void =>
      void this.#mounted.set(name, disks.mount(path, megabytes));
    makeOwnFolder(join(folder, "postgres"), undefined);
    chmodSync(join(folder, "postgres"), 0o711);
    mount("postgres", join(folder, "postgres", "primary"), POSTGRES_DISK_MB);
    for (const name of NATS_NAMES) mount(name, this.#storeOf(name), NATS_DISK_MB);
  }

  #storeOf = (name: string): string => join(this.#parts.folder, name, "jetstream");

  /** Of a server by its name. Throws where it has none that can be filled. */
  disk(name: string): Disk {
    const disk = this.#mounted.get(name);
    if (disk === undefined) throw new Error(`${name} has no disk to fill`);
    return disk;
  }

  /** Does something to the database, in a session that was there before. */
  onDatabase(run: DatabaseFault["run"]): Promise<void> {
    return withAdmin(this.system.postgresUrl ?? "", run);
  }
  get appPassword(): string {
    return this.#parts.appPassword;
  }

  /** These NATS servers refuse our processes for a while. */
  refuse(servers: readonly Member[]): Promise<void> {
    const configOf = ({ name }: Member): string => join(this.#parts.folder, name, "nats.conf");
    return refusedByNats(servers, configOf, this.#parts.natsLine);
  }
  /** These NATS servers come back with nothing. */
  emptyStores(servers: readonly Member[]): Promise<void> {
    return withoutStore(servers, ({ name }) => this.#storeOf(name));
  }

  /** Who ended unasked, and how, since this was asked last; each was started again. */
  takeEndings(): string[] {
    const endings = this.#endings;
    this.#endings = [];
    return endings;
  }

  owners(): Promise<OwnerFacts[]> {
    return this.finder.owners();
  }

  /** The shards of one node by Postgres. */
  async shardsOf(node: Member): Promise<number[]> {
    const owners = await this.owners();
    return owners.flatMap(({ shard, node: owner }) => (owner === node.id ? [shard] : []));
  }

  /** The nats-server through which a process speaks at the moment, by its links. */
  natsServerOf(name: string): Member | null {
    for (const [server, link] of this.cluster.linksOf(name)) {
      if (server !== "postgres" && link.connections().some(({ target }) => target !== null)) {
        return this.cluster.member(server) ?? null;
      }
    }
    return null;
  }

  /** The nats-server that leads a stream. Rejects while there is none. */
  async leaderOf(stream: "CELLS" | "EVENTS"): Promise<Member> {
    const info = await this.#streamInfo(stream);
    const member = this.cluster.member(info.cluster?.leader ?? "");
    if (member === undefined) throw new Error(`${stream} has no leader`);
    return member;
  }

  async #streamInfo(stream: "CELLS" | "EVENTS" | "LEDGER" | "INTAKE") {
    if (this.#nats === null) throw new Error("not started");
    const manager = await jetstreamManager(this.#nats, { checkAPI: false, timeout: 2_000 });
    return manager.streams.info(streamName(PREFIX, stream));
  }

  /** Heals all links, lets everything go on, starts what is down. Resolves to what had ended. */
  async restore(): Promise<string[]> {
    for (const host of this.hosts.why === null ? this.hosts.hosts : []) {
      this.hosts.setCable(host, true);
    }
    const down: string[] = [];
    // A node or gateway whose servers do not answer ends instead of waiting.
    const order = [
      ["nats", "postgres"],
      ["node", "gateway"],
    ] as const;
    for (const kinds of order) {
      await Promise.all(
        kinds
          .flatMap((kind) => this.cluster.ofKind(kind))
          .map(async (member) => {
            this.cluster.heal(member.name);
            member.resume();
            if (member.state !== "down") return;
            down.push(`${member.name} (${member.ended})`);
            await member.start();
          }),
      );
    }
    return down;
  }

  /** Resolves to what is still missing at the deadline; nothing when all is in order. */
  async settle(): Promise<string[]> {
    const startedAt = nowMs();
    for (;;) {
      const missing = await this.#missing(nowMs() - startedAt > BALANCE_DEADLINE_MS);
      if (missing.length === 0 || nowMs() - startedAt > SETTLE_DEADLINE_MS) return missing;
      // Polling: nobody tells outsiders that a cluster is whole again.
      await sleep(POLL_MS);
    }
  }

  async #missing(evenUnbalanced: boolean): Promise<string[]> {
    const facts = await this.finder.find();
    const ids = new Set(facts.processes.map(({ id }) => id).filter((id) => id !== null));
    const missing = facts.processes
      .filter(({ state, isReady }) => state !== "up" || isReady === false)
      .map(({ name }) => `${name} is not ready`);
    const owned = (facts.owners ?? []).filter(({ node }) => ids.has(node));
    if (owned.length < this.shards) missing.push(`${this.shards - owned.length} shards`);
    const owning = new Set(owned.map(({ node }) => node));
    if (!evenUnbalanced && owning.size < ids.size) missing.push("nodes without shards");
    for (const stream of ["CELLS", "EVENTS", "LEDGER", "INTAKE"] as const) {
      const info = await this.#streamInfo(stream).catch(() => null);
      const replicas = info?.cluster?.replicas ?? [];
      const isWhole = info?.cluster?.leader !== undefined && replicas.every((one) => one.current);
      if (!isWhole) missing.push(stream);
    }
    return missing;
  }

  /** Copies the logs of all processes so far. */
  keepLogs(to: string): void {
    cpSync(join(this.#parts.folder, "logs"), to, { recursive: true });
    for (const { name } of this.cluster.ofKind("nats")) {
      cpSync(join(this.#parts.folder, name, "nats.log"), join(to, `${name}.log`));
    }
  }

  async end(): Promise<void> {
    await this.#nats?.close().catch(() => undefined);
    await this.finder.close();
    for (const host of this.hosts.why === null ? this.hosts.hosts : []) {
      this.hosts.setCable(host, true);
    }
    for (const member of this.cluster.members()) member.supervise(null);
    await this.cluster.end();
    this.hosts.close();
    this.#parts.disks.close();
    this.#parts.removeFolder();
  }
}
