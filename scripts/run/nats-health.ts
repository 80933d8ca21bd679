// A nats-server whose disk was full stops writing and does not begin again when there is room
// (seen on 2.15.1): publishes get no answer until it is restarted. Its health page says so, and
// `npm start`, which runs it, starts it anew once there is room; before that it would not help.

import { statfsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const LOOK_MS = 2_000;
const ANSWER_MAX_MS = 2_000;
/** So many looks in a row, so that what passes by itself is left alone. */
const LOOKS_MIN = 2;
/** Free bytes from which a restart helps. */
const ROOM_MIN_BYTES = 64 * 1_048_576;
/** How the health page tells of a store that has stopped writing. */
const STOPPED_WRITING = /write error|no space left|JetStream .*(disabled|not enabled)/i;

export interface NatsHealthOptions {
  /** Of the server's monitoring listener. */
  readonly monitorUrl: string;
  /** Where the streams lie. */
  readonly folder: string;
  /** Resolves when the server has ended: there is nothing to look at any more. */
  readonly exited: Promise<unknown>;
  readonly say: (line: string) => void;
  /** Ends the server; whoever keeps it running starts it again. */
  readonly restart: () => Promise<unknown>;
  readonly lookMs?: number;
}

/** What the health page says against the server's store; null when nothing. */
export async function whyNotWriting(monitorUrl: string): Promise<string | null> {
  try {
    const signal = AbortSignal.timeout(ANSWER_MAX_MS);
    const answer = await fetch(`${monitorUrl}/healthz`, { signal });
    const { error = "" } = (await answer.json()) as { error?: string };
    return STOPPED_WRITING.test(error) ? error : null;
  } catch {
    return null; // A server that does not answer is nothing that this can judge.
  }
}

/** Looks until the server ends, or until it was ended here. Never rejects. */
export async function watchNatsHealth(options: NatsHealthOptions): Promise<void> {
  const { monitorUrl, folder, exited, say, restart, lookMs = LOOK_MS } = options;
  let isOver = false;
  void exited.then(() => (isOver = true));
  let looks = 0;
  for (;;) {
    await sleep(lookMs, undefined, { ref: false });
    if (isOver) return;
    const why = await whyNotWriting(monitorUrl);
    if (looks === 0 && why !== null) say(`nats-server has stopped writing: ${why}`);
    looks = why === null ? 0 : looks + 1;
    if (looks < LOOKS_MIN || freeBytes(folder) < ROOM_MIN_BYTES) continue;
    if (isOver) return;
    say("there is room for nats-server's streams: it is ended, to write again");
    await restart();
    return;
  }
}

/** Bytes that the disk of a folder has left; 0 when that cannot be told. */
function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return 0;
  }
}
