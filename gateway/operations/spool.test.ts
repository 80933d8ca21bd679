/**
 * The door to the intake over a bus that a test answers for: what a stream says, and what becomes
 * of the request.
 */
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import type { Bus, BusMessage } from "../../engine/io/nats/nats.ts";
import { BusError } from "../../engine/io/nats/nats.ts";
import { Metrics } from "../../engine/io/metrics.ts";
import { createOf } from "../../engine/store/contract/world.ts";
import type { CreateCommand } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import { INTAKE_QUIET_MS } from "../../proto/limits.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import { gatewayMetrics } from "../base/metrics.ts";
import { Spool } from "./spool.ts";

type Kept = { readonly subject: string; readonly data: Uint8Array; readonly id: string };

function drive() {
  const clock = new VirtualClock(1_000_000);
  const subjects = subjectsFor("t");
  const kept: Kept[] = [];
  const state = {
    isAway: false,
    loseAcks: 0,
    refuse: null as string | null,
    underWay: 0,
    asked: [] as string[],
  };
  let onAck: (message: BusMessage) => void = () => undefined;
  const reply = (to: string, value: object): void =>
    clock.soon(() =>
      onAck({
        subject: to,
        data: Buffer.from(JSON.stringify(value)),
        wantsAnswer: false,
        respond: () => undefined,
      }),
    );
  const bus = {
    inbox: () => "inbox",
    onStatus: () => undefined,
    subscribe: (_subject: string, onMessage: typeof onAck) => {
      onAck = onMessage;
      return () => undefined;
    },
    publish(subject: string, data: Uint8Array, to: string, id: string) {
      if (state.isAway) return false;
      if (state.refuse !== null) {
        reply(to, { error: { code: 503, description: state.refuse } });
        return true;
      }
      if (state.underWay > 0) {
        state.underWay--;
        const description = "duplicate message id is in process";
        reply(to, { error: { code: 409, err_code: 10_158, description } });
        return true;
      }
      const at = kept.findIndex((one) => one.id === id);
      if (at < 0) kept.push({ subject, data, id });
      const ack = at < 0 ? { seq: kept.length } : { seq: at + 1, duplicate: true };
      if (state.loseAcks > 0) state.loseAcks--;
      else reply(to, { stream: "T_INTAKE", ...ack });
      return true;
    },
    request(subject: string, data: Uint8Array) {
      if (state.isAway) return Promise.reject(new BusError("disconnected", subject));
      state.asked.push(subject);
      const which = JSON.parse(Buffer.from(data).toString()) as {
        seq?: number;
        last_by_subj?: string;
      };
      const found =
        which.seq === undefined
          ? kept.findLast((one) => one.subject === which.last_by_subj)
          : kept[which.seq - 1];
      const answer = found
        ? { message: { data: Buffer.from(found.data).toString("base64") } }
        : { error: { code: 404 } };
      return Promise.resolve(Buffer.from(JSON.stringify(answer)));
    },
  } as unknown as Bus;
  const metrics = gatewayMetrics(new Metrics("gateway"));
  const door = new Spool({ bus, subjects, clock, metrics });
  /** Lets the ack's deadline pass as often as it must. */
  const put = async (command: CreateCommand) => {
    const answer = door.put(command).catch((error: unknown) => error);
    await clock.advance(4_000);
    return answer;
  };
  return { clock, kept, state, door, put };
}
const keyed = (fingerprint = "f", createdAt = 5): CreateCommand =>
  createOf(
    { createdAt },
    {
      idempotency: { principal: "customer:1", key: "key:k", fingerprint },
      answer: { status: 201, body: { at: createdAt } },
    },
  );
const codeOf = (error: unknown): unknown => (error instanceof DispatchError ? error.code : error);

describe("the door to the intake", () => {
  it("answers 202 with the body of a 201 when the stream has it", async () => {
    const { put, kept } = drive();
    const command = keyed();
    expect(await put(command)).toEqual({ status: 202, body: { at: 5 }, isReplay: false });
    expect(kept.map(({ subject }) => subject)).toEqual([`t.intake.customer_1.${command.job.id}`]);
  });

  it("D4: a key that came before gets the answer of that time, read from the stream's leader", async () => {
    const { put, kept, state } = drive();
    await put(keyed("f", 5));
    expect(await put(keyed("f", 6))).toEqual({ status: 202, body: { at: 5 }, isReplay: true });
    expect(codeOf(await put(keyed("other", 7)))).toBe("idempotency_mismatch");
    expect(kept.length).toBe(1);
    expect(new Set(state.asked)).toEqual(new Set(["$JS.API.STREAM.MSG.GET.T_INTAKE"]));
  });

  it("two creates without a key are two", async () => {
    const { put, kept } = drive();
    await put(createOf());
    await put(createOf());
    expect(kept.length).toBe(2);
  });

  it("a lost ack is asked for again, and its create is no repetition", async () => {
    const { put, kept, state } = drive();
    state.loseAcks = 1;
    expect(await put(keyed())).toMatchObject({ status: 202, isReplay: false });
    expect(kept.length).toBe(1);
  });

  it("an id that the stream is just storing is asked for again", async () => {
    const { put, kept, state } = drive();
    state.underWay = 2;
    expect(await put(keyed())).toMatchObject({ status: 202, isReplay: false });
    expect(kept.length).toBe(1);
  });

  it.each([
    ["NATS is away", { isAway: true }],
    ["no ack comes", { loseAcks: 9 }],
    ["the stream is full", { refuse: "maximum bytes exceeded" }],
  ])("refuses with Retry-After when %s", async (_what, change) => {
    const { put, state } = drive();
    Object.assign(state, change);
    const error = await put(keyed());
    expect(codeOf(error)).toBe("unavailable");
    expect((error as DispatchError).retryAfterS).toBe(1);
  });

  it("knows what it has, and knows nothing without NATS", async () => {
    const { clock, put, door, state } = drive();
    const command = keyed();
    const { owner, id } = command.job;
    expect(await door.find(owner, id)).toBeNull();
    await put(command);
    expect(await door.find(owner, id)).toEqual({ status: 202, body: { at: 5 }, isReplay: true });
    state.isAway = true;
    expect(await door.find(owner, id)).toBeNull();
    // Nobody else waits for its silence, and it is asked again later.
    state.isAway = false;
    const asked = state.asked.length;
    expect(await door.find(owner, id)).toBeNull();
    expect(state.asked.length).toBe(asked);
    await clock.advance(INTAKE_QUIET_MS);
    expect(await door.find(owner, id)).not.toBeNull();
  });
});
