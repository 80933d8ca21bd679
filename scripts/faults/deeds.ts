// What each fault does to the stage, and whose shards it touches. A deed resolves when the fault is
// over; what is down then is started again by whoever asked for it.

import { setTimeout as sleep } from "node:timers/promises";
import type { Member } from "../cluster/member.ts";
import { ON_DATABASE, isOnDatabase } from "./database-faults.ts";
import { full } from "./nats-faults.ts";
import type { FaultName } from "./plan.ts";
import type { Trouble } from "./proxy.ts";
import type { Stage } from "./stage.ts";

export interface Deed {
  /** For people: who or what is hit. */
  readonly victim: string;
  /** Null: all. */
  readonly shards: readonly number[] | null;
  readonly run: () => Promise<void>;
}

const AWAY_MS = 5_000;
const LONG_AWAY_MS = 20_000;
/** Between the crashes of one process: it has just come up. */
const CRASH_AGAIN_MS = 4_000;
const BAD_LINK_MS = 8_000;
const NATS_AWAY_MS = 30_000;

/** The `turn`-th deed of a fault. Rejects when the stage is not as it takes. */
export async function deedOf(stage: Stage, fault: FaultName, turn: number): Promise<Deed> {
  const { cluster } = stage;
  if (isOnDatabase(fault)) {
    const { victim, run } = ON_DATABASE[fault](turn, stage.appPassword);
    return { victim, shards: null, run: () => stage.onDatabase(run) };
  }
  switch (fault) {
    case "nothing":
      return { victim: "nobody", shards: null, run: () => sleep(AWAY_MS) };
    case "node-kill":
      return onNode(stage, turn, (node) => node.kill());
    case "node-nats-kill":
      return withItsServer(stage, turn);
    case "node-pause":
      return onNode(stage, turn, frozen);
    case "gateway-pause":
      return onAll(inTurn(cluster.ofKind("gateway"), turn), frozen);
    case "nats-pause":
      return onAll(inTurn(cluster.ofKind("nats"), turn), frozen);
    case "node-drain":
      return onNode(stage, turn, (node) => node.end());
    case "gateway-kill":
      return onAll(inTurn(cluster.ofKind("gateway"), turn), (gateway) => gateway.kill());
    case "nats-kill":
      return onAll(inTurn(cluster.ofKind("nats"), turn), (server) => server.kill());
    case "leader-kill": {
      const stream = turn % 2 === 0 ? "CELLS" : "EVENTS";
      const leader = await stage.leaderOf(stream);
      const deed = onAll(leader, (server) => server.kill());
      return { ...deed, victim: `${leader.name}, leader of ${stream}` };
    }
    case "nats-away":
      return { victim: "all NATS servers", shards: null, run: () => withoutNats(stage) };
    case "postgres-fast":
      return onAll(theDatabase(stage), (postgres) => restarted(postgres, "SIGINT"));
    case "postgres-immediate":
      return onAll(theDatabase(stage), (postgres) => restarted(postgres, "SIGQUIT"));
    case "restart":
      return { victim: "everything", shards: null, run: () => killAll(stage) };
    case "host-cut":
      return cableOf(stage, turn);
    case "postgres-disk":
      return onAll(theDatabase(stage), () => full([stage.disk("postgres")]));
    case "nats-login":
      return onNats(stage, turn, (servers) => stage.refuse(servers));
    case "nats-store":
      return onNats(stage, turn, (servers) => stage.emptyStores(servers));
    case "nats-disk":
      return onNats(stage, turn, (servers) => fullAndRestarted(stage, servers));
    case "crash":
      return twoCrashes(stage, turn);
    case "link-cut":
    case "link-half":
    case "postgres-cut":
    case "postgres-away":
    case "link-delay":
    case "link-loss":
    case "link-slow":
      return badLinks(stage, fault, turn);
  }
}

const inTurn = (members: readonly Member[], turn: number): Member =>
  members[turn % members.length] as Member;

async function onNode(
  stage: Stage,
  turn: number,
  run: (node: Member) => Promise<void>,
): Promise<Deed> {
  const node = inTurn(stage.cluster.ofKind("node"), turn);
  const shards = await stage.shardsOf(node);
  return { victim: node.name, shards, run: () => run(node) };
}

const onAll = (member: Member, run: (member: Member) => Promise<void>): Deed => ({
  victim: member.name,
  shards: null,
  run: () => run(member),
});

/** In turn: one server, and all of them. */
function onNats(
  stage: Stage,
  turn: number,
  run: (servers: readonly Member[]) => Promise<void>,
): Deed {
  const all = stage.cluster.ofKind("nats");
  const servers = turn % 2 === 0 ? [inTurn(all, turn / 2)] : all;
  const victim = servers.map(({ name }) => name).join(", ");
  return { victim, shards: null, run: () => run(servers) };
}

/**
 * A nats-server whose disk was full goes on refusing what has room again, until whoever watches it
 * restarts it.
 */
async function fullAndRestarted(stage: Stage, servers: readonly Member[]): Promise<void> {
  await full(servers.map(({ name }) => stage.disk(name)));
  for (const server of servers) await restarted(server, "SIGTERM");
}

/** A node and a gateway, each twice; whoever supervises them starts them again. */
function twoCrashes(stage: Stage, turn: number): Deed {
  const { cluster } = stage;
  const both = [inTurn(cluster.ofKind("node"), turn), inTurn(cluster.ofKind("gateway"), turn)];
  return {
    victim: both.map(({ name }) => name).join(", "),
    shards: null,
    async run() {
      for (const member of both) member.crash();
      await sleep(CRASH_AGAIN_MS);
      for (const member of both) member.crash();
    },
  };
}

async function frozen(member: Member): Promise<void> {
  member.pause();
  await sleep(AWAY_MS);
  member.resume();
}

async function withItsServer(stage: Stage, turn: number): Promise<Deed> {
  const node = inTurn(stage.cluster.ofKind("node"), turn);
  const server = stage.natsServerOf(node.name);
  if (server === null) throw new Error(`${node.name} speaks to no NATS server`);
  const deed = await onNode(stage, turn, async () => {
    await Promise.all([node.kill(), server.kill()]);
  });
  return { ...deed, victim: `${node.name} and ${server.name}` };
}

function theDatabase(stage: Stage): Member {
  const member = stage.cluster.member("postgres");
  if (member === undefined) throw new Error("there is no Postgres");
  return member;
}

async function restarted(member: Member, signal: NodeJS.Signals): Promise<void> {
  await member.end(signal);
  await member.start();
}

async function withoutNats(stage: Stage): Promise<void> {
  const servers = stage.cluster.ofKind("nats");
  await Promise.all(servers.map((server) => server.kill()));
  await sleep(NATS_AWAY_MS);
  await Promise.all(servers.map((server) => server.start()));
}

/** The standby stays: a cluster without it takes no commits, by design. */
async function killAll(stage: Stage): Promise<void> {
  const all = stage.cluster.members().filter(({ name }) => name !== "standby");
  await Promise.all(all.map((member) => member.kill()));
  await stage.restore();
}

function cableOf(stage: Stage, turn: number): Deed {
  const { cluster, hosts } = stage;
  const host = hosts.hosts[turn % hosts.hosts.length];
  if (host === undefined || hosts.why !== null) throw new Error("there is no cable to pull");
  const there = cluster.members().filter(({ name }) => cluster.hostOf(name) === host);
  return {
    victim: `${host.name}: ${there.map(({ name }) => name).join(", ")}`,
    shards: null,
    async run() {
      hosts.setCable(host, false);
      await sleep(AWAY_MS);
      hosts.setCable(host, true);
    },
  };
}

/** What is wrong, with which links, for how long. */
function troubleOf(
  fault: FaultName,
  turn: number,
): { trouble: Partial<Trouble>; target: "all" | "nats" | "postgres"; ms: number } {
  switch (fault) {
    case "link-cut":
      return { trouble: { upHeld: true, downHeld: true }, target: "nats", ms: AWAY_MS };
    case "link-half":
      // In turn: it is not heard, it does not hear.
      return {
        trouble: turn % 2 === 0 ? { upHeld: true } : { downHeld: true },
        target: "nats",
        ms: AWAY_MS,
      };
    case "postgres-cut":
      return { trouble: { upHeld: true, downHeld: true }, target: "postgres", ms: AWAY_MS };
    case "postgres-away":
      return { trouble: { upHeld: true, downHeld: true }, target: "postgres", ms: LONG_AWAY_MS };
    case "link-delay":
      return { trouble: { delayMs: 50 }, target: "all", ms: BAD_LINK_MS };
    case "link-loss":
      return { trouble: { loss: 0.02 }, target: "all", ms: BAD_LINK_MS };
    default:
      return { trouble: { bytesPerS: 20_000 }, target: "all", ms: BAD_LINK_MS };
  }
}

async function badLinks(stage: Stage, fault: FaultName, turn: number): Promise<Deed> {
  const { trouble, target, ms } = troubleOf(fault, turn);
  const node = inTurn(stage.cluster.ofKind("node"), turn);
  const what = Object.entries(trouble).map(([name, value]) => `${name} ${String(value)}`);
  return {
    victim: `${node.name}: ${what.join(", ")}`,
    shards: await stage.shardsOf(node),
    async run() {
      for (const link of stage.cluster.links(node.name, target)) link.set(trouble);
      await sleep(ms);
      stage.cluster.heal(node.name);
    },
  };
}
