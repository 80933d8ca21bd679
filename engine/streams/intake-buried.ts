/**
 * What the worker of the intake has buried: creates that were acknowledged and that the database
 * proved it will not take (`intake.ts`). They lie in the INTAKE stream under a subject of their
 * own, each with why, the last error and where it came from. Here they are counted (the count is
 * read from the stream, so it is true after any restart), listed, explained and put back.
 *
 * Putting back is harmless to repeat: the copy goes to the stream under an id made of its place, so
 * a second one within the hour is dropped, and a create that is committed twice is committed once
 * (D4). Only when the stream has it is the buried copy deleted.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamManager, StoredMsg } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { INTAKE_BURIED_LIST_MAX } from "../../proto/limits.ts";
import { streamName, subjectsFor } from "../../proto/subjects.ts";
import { refusalIn } from "./event-publisher.ts";
import { decodeIntake } from "./intake-command.ts";
import { errorFields } from "../io/log.ts";
import { DatabaseError, rootOf } from "../io/postgres/verdict.ts";

const API_TIMEOUT_MS = 2_000;
const WHY = "Hexdispatch-Why";
const CODE = "Hexdispatch-Code";
const ERROR = "Hexdispatch-Error";
const FROM = "Hexdispatch-Subject";
const ERROR_MAX_CHARS = 200;

/** One that is buried, without what is personal in it. */
export type Buried = {
  /** Its place in the stream: the name by which it is put back. */
  readonly seq: number;
  readonly at: Date;
  /** `refused`, `unreadable`, `spent` or `other_id`. */
  readonly why: string;
  /** SQLSTATE of the last refusal; null where no error was met. */
  readonly code: string | null;
  readonly error: string | null;
  /** Null when it cannot be read. */
  readonly delivery: string | null;
  readonly owner: string | null;
  readonly acknowledgedAt: Date | null;
};

/** What each reason means and what to do about it, for people. */
export const REASONS: Readonly<Record<string, string>> = {
  refused:
    "The database refused its data again and again while it took other writes. Look at the code and the error, mend the cause (a constraint, a trigger, a migration, a bug of ours), then put it back.",
  unreadable:
    "The node that had it could not read it; perhaps it is of a newer version. Put it back when all nodes are of that version.",
  spent:
    "Its key was used long ago for a delivery that exists, under the same id. Nothing is missing; it may stay here.",
  other_id:
    "Its key stands for a delivery with another id, made before or under another signing key. The customer has both answers: ask which one is meant.",
};

/** Headers of a buried copy. Header values take no line ends. */
export function burialHeaders(
  why: string,
  error: unknown,
  from: string | undefined,
): readonly (readonly [string, string])[] {
  const root = rootOf(error);
  const text = root instanceof Error ? String(errorFields(root)["error"]) : "";
  const code = error instanceof DatabaseError ? error.causeCode : null;
  const line = text.replaceAll(/[^\x20-\x7e]/g, " ").slice(0, ERROR_MAX_CHARS);
  return [
    [WHY, why],
    ...(code === null ? [] : [[CODE, code] as const]),
    ...(line.trim() === "" ? [] : [[ERROR, line] as const]),
    ...(from === undefined ? [] : [[FROM, from] as const]),
  ];
}

export class BuriedCreates {
  readonly #nc: NatsConnection;
  readonly #stream: string;
  readonly #subjects: ReturnType<typeof subjectsFor>;

  constructor(nc: NatsConnection, prefix: string) {
    this.#nc = nc;
    this.#stream = streamName(prefix, "INTAKE");
    this.#subjects = subjectsFor(prefix);
  }

  /** How many there are. Rejects while JetStream does not answer. */
  async count(): Promise<number> {
    const subject = this.#subjects.intakeDead;
    const info = await (
      await this.#manager()
    ).streams.info(this.#stream, { subjects_filter: subject });
    return info.state.subjects?.[subject] ?? 0;
  }

  /** The oldest first, INTAKE_BURIED_LIST_MAX at most. */
  async list(): Promise<readonly Buried[]> {
    const all: Buried[] = [];
    for await (const message of this.#messages()) all.push(buriedOf(message));
    return all;
  }

  /** By its place, or by the id of its delivery; null when there is none such. */
  async find(name: string): Promise<Buried | null> {
    if (/^\d{1,15}$/.test(name)) {
      const message = await this.#read(Number(name));
      return message === null ? null : buriedOf(message);
    }
    for await (const message of this.#messages()) {
      const buried = buriedOf(message);
      if (buried.delivery === name) return buried;
    }
    return null;
  }

  /**
   * To the worker once more. False when there is nothing at that place (any more). Rejects when the
   * stream does not answer: then it is there twice at most, and the next time does no harm.
   */
  async putBack(seq: number): Promise<boolean> {
    const message = await this.#read(seq);
    if (message === null) return false;
    const command = decodeIntake(message.data);
    const from = message.header.get(FROM);
    const subject =
      from !== "" || command === null
        ? from
        : this.#subjects.intake(command.job.owner, command.job.id);
    if (subject === "") throw new Error(`${seq}: it does not say where it came from`);
    const all = headers();
    all.set("Nats-Msg-Id", `again-${seq}`);
    const options = { headers: all, timeout: API_TIMEOUT_MS };
    const ack = await this.#nc.request(subject, message.data, options);
    const refusal = refusalIn(ack.data);
    if (refusal !== null) throw new Error(refusal);
    const manager = await this.#manager();
    return manager.streams.deleteMessage(this.#stream, seq, false);
  }

  async *#messages(): AsyncGenerator<StoredMsg> {
    const { streams } = await this.#manager();
    for (let seq = 1, count = 0; count < INTAKE_BURIED_LIST_MAX; count++) {
      // The server takes it here as it does in a direct read; the client's types know only that.
      const next = { seq, next_by_subj: this.#subjects.intakeDead };
      const message = await streams.getMessage(this.#stream, next);
      if (message === null) return;
      yield message;
      seq = message.seq + 1;
    }
  }

  /** Null when nothing that is buried lies there. */
  async #read(seq: number): Promise<StoredMsg | null> {
    const { streams } = await this.#manager();
    const message = await streams.getMessage(this.#stream, { seq });
    return message?.subject === this.#subjects.intakeDead ? message : null;
  }

  #manager(): Promise<JetStreamManager> {
    return jetstreamManager(this.#nc, { checkAPI: false, timeout: API_TIMEOUT_MS });
  }
}

function buriedOf({ seq, time, header, data }: StoredMsg): Buried {
  const job = decodeIntake(data)?.job ?? null;
  return {
    seq,
    at: time,
    why: header.get(WHY),
    code: header.get(CODE) || null,
    error: header.get(ERROR) || null,
    delivery: job?.id ?? null,
    owner: job?.owner ?? null,
    acknowledgedAt: job === null ? null : new Date(job.createdAt),
  };
}
