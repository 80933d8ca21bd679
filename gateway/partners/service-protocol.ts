/**
 * The NATS service protocol (ADR-32): what `$SRV.PING`, `INFO` and `STATS` answer, and the counts
 * behind STATS. Written here because the client's own package for it lags behind the client that we
 * use, and it is this small.
 */
import type { Millis } from "../../proto/ids.ts";
import { DISCOVERY_STATS_KEPT_MS } from "../../proto/limits.ts";

export const QUEUE_GROUP = "q";
export const VERBS = ["PING", "INFO", "STATS"] as const;
export type Verb = (typeof VERBS)[number];

export type Endpoint = {
  readonly name: string;
  readonly subject: string;
  readonly metadata: Readonly<Record<string, string>>;
};
export type ServiceIdentity = {
  readonly name: string;
  readonly id: string;
  readonly version: string;
  readonly description: string;
  readonly startedAt: Millis;
};

type Counts = { requests: number; errors: number; lastError: string; nanos: number };

/** The subjects on which a verb is asked: of all services, of those of a name, of one. */
export const verbSubjects = (verb: Verb, { name, id }: ServiceIdentity): readonly string[] => [
  `$SRV.${verb}`,
  `$SRV.${verb}.${name}`,
  `$SRV.${verb}.${name}.${id}`,
];

export class ServiceStats {
  readonly #identity: ServiceIdentity;
  readonly #endpoints: readonly Endpoint[];
  readonly #counts = new Map<string, Counts>();
  /**
   * Answers as they go out. Made once, the counts anew when they are too old: a question costs no
   * work of its own.
   */
  readonly #made = new Map<Verb, { readonly at: Millis; readonly bytes: Uint8Array }>();

  constructor(identity: ServiceIdentity, endpoints: readonly Endpoint[]) {
    this.#identity = identity;
    this.#endpoints = endpoints;
    for (const { name } of endpoints) {
      this.#counts.set(name, { requests: 0, errors: 0, lastError: "", nanos: 0 });
    }
  }

  /** A request has been answered. `error`: null when it succeeded. */
  count(endpoint: string, ms: number, error: string | null): void {
    const counts = this.#counts.get(endpoint);
    if (counts === undefined) return;
    counts.requests += 1;
    counts.nanos += Math.round(ms * 1e6);
    if (error === null) return;
    counts.errors += 1;
    counts.lastError = error;
  }

  /** The answer to a verb. `now` decides whether the counts of STATS are fresh enough. */
  answerBytes(verb: Verb, now: Millis): Uint8Array {
    const known = this.#made.get(verb);
    const isFresh = verb !== "STATS" || now - (known?.at ?? 0) < DISCOVERY_STATS_KEPT_MS;
    if (known !== undefined && isFresh) return known.bytes;
    const bytes = Buffer.from(JSON.stringify(this.answer(verb)));
    this.#made.set(verb, { at: now, bytes });
    return bytes;
  }

  /** The body of an answer. */
  answer(verb: Verb): object {
    const { name, id, version, description, startedAt } = this.#identity;
    const type = `io.nats.micro.v1.${verb.toLowerCase()}_response`;
    const base = { type, name, id, version, metadata: {} };
    if (verb === "PING") return base;
    const shape = this.#endpoints.map((endpoint) => ({ ...endpoint, queue_group: QUEUE_GROUP }));
    if (verb === "INFO") return { ...base, description, endpoints: shape };
    const endpoints = this.#endpoints.map(({ name: endpoint, subject }) => {
      const c = this.#counts.get(endpoint) as Counts;
      return {
        name: endpoint,
        subject,
        queue_group: QUEUE_GROUP,
        num_requests: c.requests,
        num_errors: c.errors,
        last_error: c.lastError,
        processing_time: c.nanos,
        average_processing_time: c.requests === 0 ? 0 : Math.round(c.nanos / c.requests),
      };
    });
    return { ...base, started: new Date(startedAt).toISOString(), endpoints };
  }
}
