// The table of a cluster as text: its processes, who owns how many shards under which epochs, and
// who stands by. Pure: facts.ts asks, this writes.

import { rank } from "../../engine/cluster/shards.ts";
import type { ShardId } from "../../proto/ids.ts";
import type { Kind, MemberState } from "./member.ts";

export interface ProcessFacts {
  readonly name: string;
  readonly kind: Kind;
  readonly state: MemberState;
  readonly pid: number | null;
  readonly ports: string;
  /** Whether its admin listener says so; null where it has none or does not answer. */
  readonly isReady: boolean | null;
  /** What the process calls itself; null where it has no name or is down. */
  readonly id: string | null;
  /** By its own metrics. */
  readonly shardsOwned: number | null;
  readonly connections: number | null;
  readonly isPartitioned: boolean;
  /** How it ended, when it is down. */
  readonly ended: string | null;
}

export interface OwnerFacts {
  readonly shard: number;
  readonly epoch: number;
  /** The node's own name, as it stands in Postgres. */
  readonly node: string;
}

export interface ClusterFacts {
  readonly processes: readonly ProcessFacts[];
  /** Null when Postgres does not answer. */
  readonly owners: readonly OwnerFacts[] | null;
  readonly shards: number;
}

/** Names of the nodes by what they call themselves. */
const namesById = ({ processes }: ClusterFacts): Map<string, string> =>
  new Map(processes.flatMap(({ id, name }) => (id === null ? [] : [[id, name]])));

/** For each shard the living nodes that come next, best first: at most two. */
function standbysOf(facts: ClusterFacts, owner: OwnerFacts): string[] {
  const names = namesById(facts);
  const ranked = rank(owner.shard as ShardId, [...names.keys()]);
  return ranked
    .filter((id) => id !== owner.node)
    .slice(0, 2)
    .map((id) => names.get(id) ?? id);
}

const STATE_WIDTH = 12;

/** Lines without a line end. */
export function tableLines(facts: ClusterFacts): string[] {
  const rows = facts.processes.map((one) => [
    one.name,
    one.isPartitioned && one.state === "up" ? "cut off" : one.state,
    one.pid === null ? "-" : String(one.pid),
    one.ports,
    one.isReady === null ? "" : one.isReady ? "ready" : "not ready",
    ownedText(facts, one),
  ]);
  const head = ["process", "state", "pid", "ports", "", "shards"];
  return [...aligned([head, ...rows]), shardsLine(facts)];
}

function ownedText(facts: ClusterFacts, one: ProcessFacts): string {
  if (one.state === "down") return one.ended ?? "";
  if (one.kind === "gateway" && one.connections !== null) return `${one.connections} sockets`;
  if (one.kind !== "node") return "";
  const mine = (facts.owners ?? []).filter(({ node }) => node === one.id);
  const standby = (facts.owners ?? []).filter((owner) => {
    return standbysOf(facts, owner).includes(one.name);
  }).length;
  const owned = one.shardsOwned === null ? "?" : String(one.shardsOwned);
  const epochs = mine.map(({ epoch }) => epoch);
  const range = epochs.length === 0 ? "" : `, epochs ${spanText(epochs)}`;
  const differs = facts.owners !== null && one.shardsOwned !== null;
  const note = differs && one.shardsOwned !== mine.length ? ` (Postgres: ${mine.length})` : "";
  return `owns ${owned}${note}${range}, stands by for ${standby}`;
}

function spanText(numbers: readonly number[]): string {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  return low === high ? String(low) : `${low}-${high}`;
}

/** How many shards nobody alive owns, which is what matters after a kill. */
function shardsLine(facts: ClusterFacts): string {
  if (facts.owners === null) return `${facts.shards} shards; Postgres does not answer`;
  const alive = namesById(facts);
  const owned = facts.owners.filter(({ node }) => alive.has(node)).length;
  const lost = facts.shards - owned;
  return lost === 0
    ? `${facts.shards} shards, each with an owner`
    : `${facts.shards} shards, ${lost} WITHOUT A LIVING OWNER`;
}

/** One entry for each shard: number, owner, epoch, standbys. */
export function shardLines(facts: ClusterFacts): string[] {
  if (facts.owners === null) return ["Postgres does not answer"];
  const names = namesById(facts);
  const entries = facts.owners.map((owner) => {
    const by = names.get(owner.node) ?? "nobody";
    const standbys = standbysOf(facts, owner).join(",");
    return `${owner.shard}: ${by}@${owner.epoch}${standbys === "" ? "" : ` (${standbys})`}`;
  });
  const width = Math.max(STATE_WIDTH, ...entries.map((entry) => entry.length)) + 2;
  const perLine = Math.max(1, Math.floor(100 / width));
  const lines: string[] = [];
  for (let i = 0; i < entries.length; i += perLine) {
    const some = entries.slice(i, i + perLine).map((entry) => entry.padEnd(width));
    lines.push(some.join("").trimEnd());
  }
  return lines;
}

/** Columns as wide as their widest entry. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
