// A whole hexdispatch of many processes on one machine: three nats-servers, Postgres, nodes,
// gateways, a shared door before the gateways, and between all of them links that can be made bad.
// `npm run cluster` gives it to people to play with, `npm run faults` to a plan. It owns the order
// of start and end; every process is a `Member`, every link a proxy of ../faults/proxy.ts.

import { join } from "node:path";
import { migrate } from "../../engine/store/migrate.ts";
import { Link } from "../faults/proxy.ts";
import type { Address } from "../faults/proxy.ts";
import type { NatsBinary } from "../services/nats-binary.ts";
import { firstFreePort } from "../services/ports.ts";
import type { ProcessRecord } from "../services/process.ts";
import type { Host } from "./host.ts";
import { launchNats, launchProcess } from "./launch.ts";
import type { NatsPlace, ProcessPlace } from "./launch.ts";
import { Member } from "./member.ts";
import type { Database } from "./database.ts";

export interface ClusterOptions {
  /** The checkout, with dist/ built. */
  readonly root: string;
  /** Data and logs. */
  readonly folder: string;
  readonly natsBinary: NatsBinary;
  /** The hosts over which processes are dealt out in turn; the same one often is fine. */
  readonly hosts: readonly Host[];
  readonly database: Database;
  readonly authKey: string;
  /** Of the shared door. */
  readonly publicPort: number;
  readonly nodes: number;
  readonly gateways: number;
  /** More settings of nodes and gateways, e.g. the number of shards. */
  readonly settings: Readonly<Record<string, string>>;
  /**
   * Where the nats-servers ask who comes: what they know, and the files with the seeds of two
   * users.
   */
  readonly natsAuth?: NatsAuth;
  readonly onSpawn: (record: ProcessRecord) => void;
  readonly say: (line: string) => void;
}

export interface NatsAuth {
  /** Lines for each server's configuration. */
  readonly config: string;
  /** For nodes and gateways. */
  readonly processes: string;
  /** For whoever looks on. */
  readonly onlooker: string;
}

const NATS_SERVERS = 3;
const NATS_PORT = 4231;
const NATS_CLUSTER_PORT = 6231;
const GATEWAY_PORT = 8081;
const GATEWAY_ADMIN_PORT = 9081;
const NODE_ADMIN_PORT = 9581;

/** To which servers a process's links may be cut. */
export type LinkTarget = "all" | "nats" | "postgres";

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #members = new Map<string, Member>();
  readonly #hosts = new Map<string, Host>();
  readonly #links = new Map<string, ReadonlyMap<string, Link>>();
  readonly #nats: NatsPlace[] = [];
  readonly #taken = new Set<number>();
  readonly #gatewayDoors = new Map<string, Address>();
  #door: Link | null = null;
  #isEnding = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#members.set("postgres", options.database.member);
    for (const member of options.database.others) this.#members.set(member.name, member);
  }

  /** All processes in the order in which they were added. */
  members(): Member[] {
    return [...this.#members.values()];
  }
  ofKind(kind: Member["kind"]): Member[] {
    return this.members().filter((member) => member.kind === kind);
  }
  member(name: string): Member | undefined {
    return this.#members.get(name);
  }
  hostOf(name: string): Host | undefined {
    return this.#hosts.get(name);
  }
  /** The links of a node or gateway by the server at their end. */
  linksOf(name: string): ReadonlyMap<string, Link> {
    return this.#links.get(name) ?? new Map();
  }
  get publicUrl(): string {
    return `http://127.0.0.1:${this.#options.publicPort}`;
  }
  /** For clients beside the cluster, past all links. */
  get natsUrls(): string[] {
    return this.#nats.map(({ host, port }) => `nats://${host.ip}:${port}`);
  }
  /** The shared door, whose connections can be watched. */
  get door(): Link | null {
    return this.#door;
  }

  /** Brings everything up. Rejects when something does not come; `end` clears up then, too. */
  async start(): Promise<void> {
    const { database, publicPort, nodes, gateways, say } = this.#options;
    say("starting three nats-servers and Postgres ...");
    await this.#placeNats();
    const applied = async (): Promise<void> => {
      await database.start();
      await migrate(database.url);
      await database.prepare();
    };
    await Promise.all([...this.ofKind("nats").map((member) => member.start()), applied()]);
    this.#door = await Link.open({
      listen: { port: publicPort },
      targets: () =>
        [...this.#gatewayDoors.entries()].flatMap(([name, at]) =>
          this.#members.get(name)?.state === "down" ? [] : [at],
        ),
    });
    say(`starting ${nodes} nodes and ${gateways} gateways ...`);
    const added = [
      ...Array.from({ length: nodes }, () => this.addNode()),
      ...Array.from({ length: gateways }, () => this.addGateway()),
    ];
    const failed = (await Promise.allSettled(added)).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  }

  async #placeNats(): Promise<void> {
    const { folder, natsBinary, natsAuth, onSpawn } = this.#options;
    for (let i = 0; i < NATS_SERVERS; i++) {
      const host = this.#hostFor(i);
      const port = await this.#port(NATS_PORT + i);
      const clusterPort = await this.#port(NATS_CLUSTER_PORT + i);
      this.#nats.push({ name: `nats${i + 1}`, host, port, clusterPort });
    }
    for (const place of this.#nats) {
      const member = new Member({
        name: place.name,
        kind: "nats",
        ports: `${place.port}`,
        adminUrl: null,
        endSignal: "SIGTERM",
        launch: () => launchNats(place, this.#nats, folder, natsBinary, onSpawn, natsAuth),
      });
      this.#add(member, place.host);
    }
  }

  #hostFor(index: number): Host {
    const { hosts } = this.#options;
    return hosts[index % hosts.length] as Host;
  }

  #add(member: Member, host: Host): void {
    this.#members.set(member.name, member);
    this.#hosts.set(member.name, host);
  }

  /** A free port, `usual` if it is. */
  async #port(usual: number): Promise<number> {
    const wanted = Array.from({ length: 20 }, (_, i) => usual + i * 10);
    const port = await firstFreePort(wanted.filter((one) => !this.#taken.has(one)));
    this.#taken.add(port);
    return port;
  }

  /** One more node, started. Resolves to its name. */
  async addNode(): Promise<string> {
    const index = this.ofKind("node").length;
    const name = `node${index + 1}`;
    const host = this.#hostFor(index);
    this.#reserve(name, "node", host);
    const port = await this.#port(NODE_ADMIN_PORT + index);
    const ports = `admin ${port}`;
    const env = { HEXDISPATCH_NODE_ADMIN_PORT: String(port), HEXDISPATCH_ADMIN_HOST: host.ip };
    return this.#launchNew({ name, host, kind: "node", ports, port, env });
  }

  /** One more gateway, started, and behind the shared door. Resolves to its name. */
  async addGateway(): Promise<string> {
    const index = this.ofKind("gateway").length;
    const name = `gateway${index + 1}`;
    const host = this.#hostFor(index);
    this.#reserve(name, "gateway", host);
    const publicPort = await this.#port(GATEWAY_PORT + index);
    const port = await this.#port(GATEWAY_ADMIN_PORT + index);
    const env = {
      HEXDISPATCH_PUBLIC_HOST: host.ip,
      HEXDISPATCH_PUBLIC_PORT: String(publicPort),
      HEXDISPATCH_PUBLIC_URL: this.publicUrl,
      HEXDISPATCH_ADMIN_HOST: host.ip,
      HEXDISPATCH_ADMIN_PORT: String(port),
    };
    this.#gatewayDoors.set(name, { host: host.ip, port: publicPort });
    const ports = `public ${publicPort}, admin ${port}`;
    return this.#launchNew({ name, host, kind: "gateway", ports, port, env });
  }

  /** Takes the name at once, so that two that are added at the same time get two. */
  #reserve(name: string, kind: "node" | "gateway", host: Host): void {
    const launch = (): Promise<never> => Promise.reject(new Error(`${name} is not placed yet`));
    const nothing = { ports: "", adminUrl: null, endSignal: "SIGTERM", launch } as const;
    this.#add(new Member({ name, kind, ...nothing }), host);
  }

  async #launchNew(of: {
    readonly name: string;
    readonly host: Host;
    readonly kind: "node" | "gateway";
    readonly ports: string;
    readonly port: number;
    readonly env: Readonly<Record<string, string>>;
  }): Promise<string> {
    const { root, folder, onSpawn } = this.#options;
    const { name, host, kind, ports, port, env } = of;
    const adminUrl = `http://${host.ip}:${port}`;
    const place: ProcessPlace = {
      name,
      host,
      script: join(root, "dist", kind === "node" ? "engine/node.js" : "gateway/main.js"),
      env: { ...(await this.#environment(name, host)), ...env },
      adminUrl,
      logFile: join(folder, "logs", `${name}.log`),
      saysItsName: kind === "node",
    };
    const launch = (): ReturnType<typeof launchProcess> => launchProcess(place, onSpawn);
    const member = new Member({ name, kind, ports, adminUrl, endSignal: "SIGTERM", launch });
    this.#add(member, host);
    if (this.#isEnding) throw new Error("everything is being stopped");
    await member.start();
    return name;
  }

  /** The settings of one process, with links of its own to every server. */
  async #environment(name: string, host: Host): Promise<Record<string, string>> {
    const { authKey, settings, database, natsAuth } = this.#options;
    const open = async ([target, address]: readonly [string, Address]) => {
      const link = await Link.open({
        listen: { host: host.gatewayIp },
        targets: () => [address],
      });
      return [target, link] as const;
    };
    const { hostname, port } = new URL(database.url);
    const servers: (readonly [string, Address])[] = [
      ...this.#nats.map((one) => [one.name, { host: one.host.ip, port: one.port }] as const),
      ["postgres", { host: hostname, port: Number(port) }],
    ];
    const links = new Map(await Promise.all(servers.map(open)));
    this.#links.set(name, links);
    const behind = (target: string): string => `${host.gatewayIp}:${links.get(target)?.port}`;
    const postgresUrl = new URL(database.appUrl);
    postgresUrl.host = behind("postgres");
    const natsUrl = this.#nats.map((one) => `nats://${behind(one.name)}`).join(",");
    return {
      HEXDISPATCH_NATS_URL: natsUrl,
      ...(natsAuth === undefined ? {} : { HEXDISPATCH_NATS_CREDENTIALS: natsAuth.processes }),
      HEXDISPATCH_NATS_REPLICAS: String(NATS_SERVERS),
      HEXDISPATCH_POSTGRES_URL: postgresUrl.href,
      ...(name.startsWith("gateway") ? { HEXDISPATCH_AUTH_KEY: authKey } : {}),
      ...settings,
    };
  }

  /** The links of a process to the servers that `target` means. */
  links(name: string, target: LinkTarget = "all"): Link[] {
    const isMeant = (server: string): boolean =>
      target === "all" || (server === "postgres") === (target === "postgres");
    return [...this.linksOf(name)].flatMap(([server, link]) => (isMeant(server) ? [link] : []));
  }
  partition(name: string, target: LinkTarget = "all"): void {
    for (const link of this.links(name, target)) link.cut();
  }
  heal(name: string): void {
    for (const link of this.links(name)) link.heal();
  }
  isPartitioned(name: string): boolean {
    return this.links(name).some(({ trouble }) => trouble.upHeld || trouble.downHeld);
  }

  /** Ends all processes: gateways, nodes, then what they lean on. */
  async end(): Promise<void> {
    this.#isEnding = true;
    for (const name of this.#links.keys()) this.heal(name);
    const { say } = this.#options;
    for (const kind of ["gateway", "node", "nats", "postgres"] as const) {
      const ends = this.ofKind(kind).map((member) => member.end());
      for (const end of await Promise.allSettled(ends)) {
        if (end.status === "rejected") say(`could not be ended: ${String(end.reason)}`);
      }
    }
    const links = [...this.#links.values()].flatMap((some) => [...some.values()]);
    await Promise.all(links.map((link) => link.close()));
    await this.#door?.close();
  }
}
