/**
 * Runs an operation for a door, in one order for all of them: admission, principal, rate, role,
 * input by its schemas, idempotency key, the function, the count and the log. A door only turns its
 * own requests into a `Request` and an `Outcome` or refusal into its own answers.
 */
import type { z } from "zod";
import { errorFields } from "../../engine/io/log.ts";
import { OutageLog } from "../../engine/io/outage-log.ts";
import { DispatchError, ERRORS } from "../../proto/errors.ts";
import type { RequestKind } from "../access/admission.ts";
import type { LoadShedder } from "../access/load-shedder.ts";
import { keyOf } from "./idempotency.ts";
import type { KeptAnswer } from "./idempotency.ts";
import { nameOf } from "../base/principal.ts";
import type { Principal } from "../base/principal.ts";
import { asDispatchError, problemOf, validationError } from "../base/problem.ts";
import { perSecond, rateHeaders, RateLimit } from "../access/rate-limit.ts";
import type { RateHeaders } from "../access/rate-limit.ts";
import type { Call, Operation, OperationParts, Outcome } from "./operation.ts";
import { OPERATIONS } from "./table.ts";
import type { OperationName } from "./table.ts";

/** What a request says, after its bytes were decoded and before any schema has looked at it. */
export type Input = {
  /** What the operation is about: an id, unchecked; empty for none. */
  readonly id: string;
  readonly body: unknown;
  readonly query: unknown;
  /** The bytes of the body as they came, or a text that stands for them. */
  readonly bytes: Uint8Array;
};

/** A request as a door hands it on. The functions are called in the order of the fields. */
export type Request = {
  /** Names the binding in metrics and in the log. */
  readonly label: string;
  /** Where a problem says that it happened: a path or a subject (RFC 9457, `instance`). */
  readonly instance: string;
  /** Who asks. Rejects with the refusal of a bad credential. */
  readonly principal: () => Promise<Principal>;
  /** Told what is left of the principal's rate, for a door that shows it. */
  readonly onRate?: (headers: RateHeaders) => void;
  /**
   * Decodes what the row takes, for a principal that may ask. Rejects with the refusal of bad
   * bytes.
   */
  readonly input: (row: Operation) => Promise<Input> | Input;
  /** The idempotency key as it was given. */
  readonly key: string | undefined;
  /** Microseconds since 1970. */
  readonly receivedAtUs: number;
};

export type RunnerParts = OperationParts & {
  readonly shedder: Pick<LoadShedder, "admit" | "during">;
  /** Requests a second of one principal over all doors of this gateway; 0: no limit. */
  readonly requestsPerPrincipalPerS: number;
};

export class OperationRunner {
  readonly #parts: RunnerParts;
  readonly #perPrincipal: RateLimit;
  readonly #outages: OutageLog;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#outages = new OutageLog(parts.deps.log, parts.deps.clock);
    this.#perPrincipal = new RateLimit(perSecond(parts.requestsPerPrincipalPerS));
  }

  /** Rejects with a DispatchError, already counted and, where it is news, in the log. */
  async run(name: OperationName, request: Request): Promise<Outcome> {
    const startedAt = performance.now();
    let status = 500;
    try {
      const outcome = await this.#run(OPERATIONS[name], request);
      if (outcome.isReplay) this.#parts.deps.metrics.replayed.inc();
      status = outcome.status;
      return outcome;
    } catch (error) {
      const known = this.refused(request.label, error);
      status = ERRORS[known.code].status;
      throw known;
    } finally {
      const seconds = (performance.now() - startedAt) / 1000;
      const labels = { route: request.label, status: String(status) };
      this.#parts.deps.metrics.requests.observe(labels, seconds);
    }
  }

  /**
   * For what a door does beside the table (a page, a description, following): throws `overloaded`
   * when requests of that kind are not taken now.
   */
  admit(kind: RequestKind): void {
    this.#parts.shedder.admit(kind);
  }

  async #run(row: Operation, request: Request): Promise<Outcome> {
    const { shedder } = this.#parts;
    shedder.admit(row.kind);
    const principal = await request.principal();
    this.#limit(principal, request);
    if (!row.roles.includes(principal.role)) throw new DispatchError("forbidden");
    const input = await request.input(row);
    const { id, bytes } = input;
    const call: Call = {
      principal,
      id,
      body: row.body === null ? null : parsed(row.body, input.body),
      query: row.query === null ? null : parsed(row.query, input.query),
      bytes,
      key: keyFor(row, request.key, principal, input),
      receivedAtUs: request.receivedAtUs,
    };
    return shedder.during(() =>
      row.keyed?.how === "kept"
        ? this.#kept(row, call, request.instance)
        : row.run(this.#parts, call),
    );
  }

  #limit(principal: Principal, { onRate }: Request): void {
    const { clock, metrics } = this.#parts.deps;
    const now = clock.now();
    const name = nameOf(principal);
    const waitS = this.#perPrincipal.take(name, now);
    onRate?.(rateHeaders("principal", this.#perPrincipal, name, now));
    if (waitS === 0) return;
    metrics.limited.inc({ scope: "principal" });
    throw new DispatchError("rate_limited", undefined, { retryAfterS: Math.max(1, waitS) });
  }

  async #kept(row: Operation, call: Call, instance: string): Promise<Outcome> {
    const { idempotency } = this.#parts;
    if (call.key === null) return row.run(this.#parts, call);
    const work = async (): Promise<KeptAnswer> => {
      try {
        const { status, body = null } = await row.run(this.#parts, call);
        return { status, body };
      } catch (error) {
        // A refusal that the command decided is its answer: a repetition gets the same one.
        if (!(error instanceof DispatchError)) throw error;
        const { status, retryable } = ERRORS[error.code];
        if (status !== 409 || retryable) throw error;
        return { status, body: problemOf(error, instance) };
      }
    };
    return idempotency.once(call.key, () => idempotency.kept(call.key, work));
  }

  /** The refusal that an error is at every door; what is news goes to the log. */
  refused(label: string, error: unknown): DispatchError {
    const known = asDispatchError(error);
    // An outage is said once in a while; one that is known is in the log already.
    const isNews = known.code === "unavailable" && known.cause !== undefined;
    if (isNews) this.#outages.tell(known, { route: label }, "a request was refused");
    if (known.code !== "internal") return known;
    const cause = known.cause ?? error;
    const stack = cause instanceof Error ? cause.stack : undefined;
    this.#parts.deps.log.error({ route: label, ...errorFields(cause), stack }, "a request failed");
    return known;
  }
}

function keyFor(
  { keyed }: Operation,
  given: string | undefined,
  principal: Principal,
  { id, bytes }: Input,
): Call["key"] {
  if (keyed === null) return null;
  return keyOf(given, principal, keyed.scope.replace("{id}", id), bytes);
}

function parsed(schema: z.ZodType, value: unknown): unknown {
  const result = schema.safeParse(value);
  if (!result.success) throw validationError(result.error.issues);
  return result.data;
}
