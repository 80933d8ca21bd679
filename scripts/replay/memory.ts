/**
 * What the processes hold while a replay runs, beside what they have to hold: every few seconds
 * their memory and the number of open deliveries, and a figure a minute for the report. Memory that
 * grows with open deliveries is work that waits; memory that grows without them is a leak.
 */
import { scrape } from "./system.ts";
import type { System } from "./system.ts";

/** Memory of one process, bytes; null where its door did not answer. */
export type Held = { readonly resident: number; readonly heap: number } | null;
/** Both processes at one moment. */
export type Sample = {
  readonly at: number;
  readonly gateway: Held;
  readonly node: Held;
  /** Deliveries created by this replay that have not ended. */
  readonly open: number;
  readonly onShift: number;
  readonly busy: number;
  readonly connected: number;
};

/** The means of one minute of a replay, MiB. */
export type MinuteOfMemory = {
  readonly minute: number;
  readonly open: number;
  readonly node: number | null;
  readonly nodeHeap: number | null;
  readonly gateway: number | null;
  readonly gatewayHeap: number | null;
};

const MINUTE_MS = 60_000;
const MEBIBYTE = 1_048_576;

/** Asks both processes. Never rejects. */
export async function sampleMemory(system: System): Promise<Pick<Sample, "gateway" | "node">> {
  const [gateway, node] = await Promise.all([
    scrape(system.adminUrl),
    system.nodeAdminUrl === null ? null : scrape(system.nodeAdminUrl),
  ]);
  return { gateway: heldBy(gateway), node: heldBy(node) };
}

function heldBy(metrics: ReadonlyMap<string, number> | null): Held {
  const valueOf = (part: string): number | undefined =>
    [...(metrics ?? [])].find(([name]) => name.includes(part))?.[1];
  const resident = valueOf("process_resident_memory_bytes");
  const heap = valueOf("nodejs_heap_size_used_bytes");
  return resident === undefined || heap === undefined ? null : { resident, heap };
}

/** One row for each whole minute from `startedAt`; the first is minute 1. */
export function memoryByMinute(samples: readonly Sample[], startedAt: number): MinuteOfMemory[] {
  const minutes = new Map<number, Sample[]>();
  for (const sample of samples) {
    const minute = Math.floor((sample.at - startedAt) / MINUTE_MS) + 1;
    if (minute < 1) continue;
    minutes.set(minute, [...(minutes.get(minute) ?? []), sample]);
  }
  return [...minutes].map(([minute, list]) => ({
    minute,
    open: mean(list.map(({ open }) => open)) ?? 0,
    node: mebibytes(list, ({ node }) => node?.resident),
    nodeHeap: mebibytes(list, ({ node }) => node?.heap),
    gateway: mebibytes(list, ({ gateway }) => gateway?.resident),
    gatewayHeap: mebibytes(list, ({ gateway }) => gateway?.heap),
  }));
}

const mebibytes = (
  list: readonly Sample[],
  of: (sample: Sample) => number | undefined,
): number | null =>
  mean(
    list.flatMap((sample) => {
      const bytes = of(sample);
      return bytes === undefined ? [] : [bytes / MEBIBYTE];
    }),
  );

function mean(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return Math.round(values.reduce((sum, value) => sum + value, 0) / values.length);
}
