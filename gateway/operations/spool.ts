/**
 * The door to the INTAKE stream: where creates go while Postgres is away. A create is answered 202
 * when the stream has acknowledged it, and its id in the stream is its idempotency key, so that the
 * stream itself says whether the key came before; then the answer of that time is read back, from
 * the stream's leader, and given again (D4).
 */
import { createHash } from "node:crypto";
import {
  EventPublisher,
  StreamRefusal,
  ackOf,
  isUnderWay,
} from "../../engine/streams/event-publisher.ts";
import { decodeIntake, encodeIntake } from "../../engine/streams/intake-command.ts";
import type { CreateCommand, IdempotencyKey, StoredAnswer } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { DeliveryId, PrincipalId } from "../../proto/ids.ts";
import { INTAKE_ACK_TIMEOUT_MS, INTAKE_ATTEMPTS, INTAKE_QUIET_MS } from "../../proto/limits.ts";
import { INTAKE_UNDER_WAY_MS } from "../../proto/limits.ts";
import type { CreateAnswer } from "./create.ts";
import type { Deps } from "../base/deps.ts";
import type { Principal } from "../base/principal.ts";

/** Accepted, and not yet in the database. */
const ACCEPTED = 202;
const MISSING = 404;

/**
 * The answer of the first request with that key, for a later one. Throws `idempotency_mismatch` for
 * another body.
 */
export function replayOf(command: CreateCommand, answer: StoredAnswer): CreateAnswer {
  const { fingerprint, status, body } = answer;
  if (fingerprint !== command.idempotency?.fingerprint) {
    throw new DispatchError("idempotency_mismatch");
  }
  return { status, body, isReplay: true };
}

/** Who asks for a delivery. An operator asks for anybody's. */
type Asker =
  | { readonly role: "operator" }
  | { readonly role: Exclude<Principal["role"], "operator">; readonly subject: string };

/** Where the intake has the delivery, if it is one that the asker may know of. */
function subjectFor(subjects: Deps["subjects"], asker: Asker, delivery: DeliveryId): string | null {
  if (asker.role === "operator") return subjects.intakeOfDelivery(delivery);
  const isOwner = asker.role === "customer" || asker.role === "partner";
  return isOwner ? subjects.intake(asker.subject, delivery) : null;
}

export class Spool {
  readonly #deps: Pick<Deps, "bus" | "subjects" | "clock" | "metrics">;
  readonly #publisher: EventPublisher;
  /** The stream did not answer: it is not asked for keys before. */
  #silentUntil = 0;

  constructor(deps: Pick<Deps, "bus" | "subjects" | "clock" | "metrics">) {
    this.#deps = deps;
    this.#publisher = new EventPublisher(deps.bus, deps.clock, INTAKE_ACK_TIMEOUT_MS);
  }

  /**
   * Takes a create in. Rejects with `idempotency_mismatch`, and with `unavailable` when NATS is
   * away too: then it is not there, or unknown, and the same key leads to the same delivery.
   */
  async put(command: CreateCommand): Promise<CreateAnswer> {
    const accepted = { ...command, answer: { ...command.answer, status: ACCEPTED } };
    const { seq, isDuplicate } = await this.#publish(accepted);
    if (isDuplicate && command.idempotency !== null) {
      const first = await this.#read({ seq });
      if (first === null) throw new DispatchError("unavailable");
      if (!isSameAttempt(first, command)) return this.#replay(command, first);
    }
    this.#deps.metrics.intake.inc({ outcome: "taken" });
    return { ...accepted.answer, isReplay: false };
  }

  /**
   * The answer that a create got which lies in the intake, or has been there within a day; null
   * when there is none. A stream that did not answer is left alone for a moment, because every
   * create would wait for its silence.
   */
  async find(owner: PrincipalId, delivery: DeliveryId): Promise<CreateAnswer | null> {
    const { clock } = this.#deps;
    if (clock.now() < this.#silentUntil) return null;
    try {
      const found = await this.#read({ last_by_subj: this.#deps.subjects.intake(owner, delivery) });
      return found === null ? null : { ...found.answer, isReplay: true };
    } catch {
      this.#silentUntil = clock.now() + INTAKE_QUIET_MS;
      return null; // Without NATS the database alone knows.
    }
  }

  /**
   * Called when the database has no such delivery: who was answered 202, and an operator, is not
   * told so, but to ask again, because it is on its way. Rejects with `unavailable` then, and when
   * the stream cannot say whether it is.
   */
  async refuseIfTaken(asker: Asker, delivery: DeliveryId): Promise<void> {
    const subject = subjectFor(this.#deps.subjects, asker, delivery);
    if (subject === null) return;
    const found = await this.#read({ last_by_subj: subject });
    if (found === null) return;
    throw new DispatchError(
      "unavailable",
      "The delivery was taken and is not in the database yet.",
    );
  }

  stop(): void {
    this.#publisher.close();
  }

  #replay(command: CreateCommand, first: CreateCommand): CreateAnswer {
    const fingerprint = first.idempotency?.fingerprint ?? "";
    const answer = replayOf(command, { fingerprint, ...first.answer });
    this.#deps.metrics.intake.inc({ outcome: "replayed" });
    return answer;
  }

  /** Asked again under the same id, a lost ack does no harm. */
  async #publish(command: CreateCommand) {
    const { subjects, metrics } = this.#deps;
    const { job, idempotency } = command;
    const subject = subjects.intake(job.owner, job.id);
    const id = idempotency === null ? job.id : messageId(idempotency);
    let cause: unknown;
    for (let attempt = 1; attempt <= INTAKE_ATTEMPTS; attempt++) {
      try {
        return ackOf(await this.#publisher.publish(subject, encodeIntake(command), id));
      } catch (error) {
        cause = error;
        if (isUnderWay(error)) await this.#pause();
        else if (error instanceof StreamRefusal) break;
      }
    }
    metrics.intake.inc({ outcome: "refused" });
    throw new DispatchError("unavailable", undefined, { cause });
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#deps.clock.after(INTAKE_UNDER_WAY_MS, resolve));
  }

  /**
   * Null when there is no such message. Rejects with `unavailable` when the stream does not answer.
   */
  async #read(
    which: { readonly seq: number } | { readonly last_by_subj: string },
  ): Promise<CreateCommand | null> {
    const { bus, subjects } = this.#deps;
    try {
      const question = Buffer.from(JSON.stringify(which));
      const bytes = await bus.request(subjects.streamMessage("INTAKE"), question);
      const answer = JSON.parse(Buffer.from(bytes).toString()) as {
        message?: { data?: string };
        error?: { code?: number };
      };
      if (answer.error?.code === MISSING) return null;
      const data = answer.message?.data;
      if (data === undefined) throw new Error("the spool cannot be read");
      return decodeIntake(Buffer.from(data, "base64"));
    } catch (cause) {
      throw new DispatchError("unavailable", undefined, { cause });
    }
  }
}

const messageId = ({ principal, key }: IdempotencyKey): string =>
  createHash("sha256")
    .update(JSON.stringify([principal, key]))
    .digest("base64url");

/** Our own message of a moment ago, whose ack was lost. */
const isSameAttempt = (first: CreateCommand, command: CreateCommand): boolean =>
  first.job.createdAt === command.job.createdAt &&
  first.job.receivedAtUs === command.job.receivedAtUs &&
  first.idempotency?.fingerprint === command.idempotency?.fingerprint;
