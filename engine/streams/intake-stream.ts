/**
 * The INTAKE stream behind the worker's port: a durable pull consumer, asked again and again with
 * an end to each question. A consumer whose server has died just does not answer, so each question
 * has a deadline of ours, and after a silence or a refusal the consumer is made sure of before the
 * next. It has as many replicas as its stream.
 */
import { AckPolicy, jetstreamManager } from "@nats-io/jetstream";
import { createInbox, headers } from "@nats-io/transport-node";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { streamName, subjectsFor } from "../../proto/subjects.ts";
import { refusalIn } from "./event-publisher.ts";
import { burialHeaders } from "./intake-buried.ts";
import type { IntakeItem, IntakeQueue } from "./intake.ts";
import { ensureDurable } from "../io/nats/durable.ts";

export const INTAKE_CONSUMER = "worker";
/** Not acknowledged for so long: it goes to the next who asks. The worker holds what it keeps. */
const ACK_WAIT_MS = 10_000;
const API_TIMEOUT_MS = 2_000;
/** Our deadline comes this much after the server's own. */
const ANSWER_GRACE_MS = 1_000;
const NANOS_PER_MS = 1_000_000;
const NO_MESSAGES = 404;
const TIMED_OUT = 408;

type Pull = { readonly batch: number; readonly no_wait?: true; readonly expires?: number };

export function streamIntake(nc: NatsConnection, prefix: string): IntakeQueue {
  const subjects = subjectsFor(prefix);
  const stream = streamName(prefix, "INTAKE");
  let isSure = false;

  const makeSure = async (): Promise<void> => {
    if (isSure) return;
    const manager = await jetstreamManager(nc, { checkAPI: false, timeout: API_TIMEOUT_MS });
    await ensureDurable(manager, stream, {
      durable_name: INTAKE_CONSUMER,
      filter_subject: subjects.intakeWork,
      ack_policy: AckPolicy.Explicit,
      ack_wait: ACK_WAIT_MS * NANOS_PER_MS,
    });
    isSure = true;
  };
  const pull = async (question: Pull, deadlineMs: number): Promise<readonly IntakeItem[]> => {
    try {
      const subject = subjects.streamNext("INTAKE", INTAKE_CONSUMER);
      return await ask(nc, subject, question, deadlineMs);
    } catch (error) {
      isSure = false;
      throw error;
    }
  };
  return {
    async fetch(max, waitMs) {
      await makeSure();
      const ready = await pull({ batch: max, no_wait: true }, ANSWER_GRACE_MS);
      if (ready.length > 0 || waitMs <= 0) return ready;
      const expires = waitMs * NANOS_PER_MS;
      return pull({ batch: 1, expires }, waitMs + ANSWER_GRACE_MS);
    },
    async bury(item, why, error) {
      const all = headers();
      all.set("Nats-Msg-Id", `dead-${item.seq}`);
      for (const [name, value] of burialHeaders(why, error, item.subject)) all.set(name, value);
      const options = { headers: all, timeout: API_TIMEOUT_MS };
      const ack = await nc.request(subjects.intakeDead, item.data, options);
      const refusal = refusalIn(ack.data);
      if (refusal !== null) throw new Error(refusal);
    },
  };
}

/**
 * What the consumer gives until it says that this is all. Rejects when it says nothing, or
 * something else.
 */
function ask(
  nc: NatsConnection,
  subject: string,
  question: Pull,
  deadlineMs: number,
): Promise<readonly IntakeItem[]> {
  return new Promise((resolve, reject) => {
    const items: IntakeItem[] = [];
    const inbox = createInbox();
    const end = (error: Error | null): void => {
      clearTimeout(deadline);
      if (!nc.isClosed()) subscription.unsubscribe();
      // What has come is worked on, whatever became of the rest.
      if (error === null || items.length > 0) resolve(items);
      else reject(error);
    };
    const deadline = setTimeout(() => end(new Error("the intake does not answer")), deadlineMs);
    const subscription = nc.subscribe(inbox, {
      callback: (error, message) => {
        if (error !== null) return end(error);
        const status = statusOf(message);
        if (status === NO_MESSAGES || status === TIMED_OUT) return end(null);
        if (status > 0) return end(new Error(`the intake answers ${status}`));
        items.push(itemOf(message));
        if (items.length === question.batch) end(null);
      },
    });
    nc.publish(subject, JSON.stringify(question), { reply: inbox });
  });
}

/** 0: a message of the stream. */
const statusOf = (message: Msg): number =>
  message.data.length === 0 ? (message.headers?.code ?? 0) : 0;

/**
 * The reply subject ends in `<stream sequence>.<consumer sequence>.<nanoseconds>.<pending>`, or a
 * token more.
 */
function itemOf(message: Msg): IntakeItem {
  const tokens = (message.reply ?? "").split(".");
  // $JS.ACK.<stream>.<consumer>..., or with domain and account before the stream and a random token
  // at the end.
  const from = tokens.length > 9 ? 4 + 3 : 2 + 3;
  const number = (at: number): number => Number(tokens[from + at] ?? 0);
  return {
    seq: number(0),
    at: Math.floor(number(2) / NANOS_PER_MS),
    behind: number(3),
    data: message.data,
    subject: message.subject,
    done: () => void message.respond("+ACK"),
    hold: () => void message.respond("+WPI"),
    giveBack: () => void message.respond("-NAK"),
  };
}
