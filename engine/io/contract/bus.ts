/**
 * The contract of the bus, as tests over its port: who hears what, in which order, what a request
 * may end with, what a stream answers and gives back. NATS and the simulator's fake pass the same
 * suite; it knows nothing of how long anything takes and waits for conditions only.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { streamName, subjectsFor } from "../../../proto/subjects.ts";
import type { Subjects } from "../../../proto/subjects.ts";
import type { CellsLog } from "../../cells/reader.ts";
import { BusError } from "../nats/nats.ts";
import type { Bus, BusMessage } from "../nats/nats.ts";

/** Two connections to one server that has the streams of this prefix and nothing in them. */
export type BusWorld = {
  readonly a: Bus;
  readonly b: Bus;
  readonly cells: CellsLog;
  readonly prefix: string;
  /** Lets a little time pass. */
  readonly pass: () => Promise<void>;
  readonly close: () => Promise<void>;
};

const LOOKS_MAX = 2_000;
const text = (words: string): Uint8Array => Buffer.from(words);
const words = (data: Uint8Array): string => Buffer.from(data).toString();

/** Declares the suite. `makeWorld` is called once. */
export function busContract(name: string, makeWorld: () => Promise<BusWorld>): void {
  describe(name, () => {
    let w: BusWorld;
    let s: Subjects;
    beforeAll(async () => {
      w = await makeWorld();
      s = subjectsFor(w.prefix);
    });
    afterAll(() => w?.close());

    /** Polls, because what is waited for comes over a network. */
    const until = async (holds: () => boolean): Promise<void> => {
      for (let look = 0; !holds(); look++) {
        if (look > LOOKS_MAX) throw new Error("it never came");
        await w.pass();
      }
    };
    const ended = async <T>(work: Promise<T>): Promise<T> => {
      let isOver = false;
      const watched = work.finally(() => {
        isOver = true;
      });
      watched.catch(() => undefined);
      await until(() => isOver);
      return watched;
    };
    const hear = (bus: Bus, subject: string, queue?: string): string[] => {
      const heard: string[] = [];
      bus.subscribe(subject, ({ data }) => void heard.push(words(data)), queue);
      return heard;
    };
    const ready = (): Promise<unknown> => ended(Promise.all([w.a.flush(), w.b.flush()]));
    const subject = (last: string): string => `${w.prefix}.contract.${last}`;

    it("gives a message to everybody who listens, the sender among them, in the order of sending", async () => {
      const [mine, theirs] = [hear(w.a, subject("all")), hear(w.b, subject("all"))];
      await ready();
      for (const n of ["1", "2", "3"]) expect(w.a.publish(subject("all"), text(n))).toBe(true);
      await until(() => mine.length === 3 && theirs.length === 3);
      expect(mine).toEqual(["1", "2", "3"]);
      expect(theirs).toEqual(["1", "2", "3"]);
    });

    it("takes a star for one token and a greater-than for the rest, one token at least", async () => {
      const one = hear(w.b, subject("wild.*"));
      const rest = hear(w.b, subject("wild.>"));
      await ready();
      for (const last of ["wild", "wild.x", "wild.x.y"]) w.a.publish(subject(last), text(last));
      await until(() => rest.length === 2 && one.length === 1);
      expect(one).toEqual(["wild.x"]);
      expect(rest).toEqual(["wild.x", "wild.x.y"]);
    });

    it("gives a message to one member of a queue group", async () => {
      const first = hear(w.a, subject("queue"), "group");
      const second = hear(w.b, subject("queue"), "group");
      await ready();
      for (let n = 0; n < 40; n++) w.a.publish(subject("queue"), text(String(n)));
      await until(() => first.length + second.length === 40);
      await ready();
      expect(new Set([...first, ...second]).size).toBe(40);
    });

    it("gives nothing more after the end of a subscription", async () => {
      const heard: string[] = [];
      const stop = w.b.subscribe(subject("end"), ({ data }) => void heard.push(words(data)));
      await ready();
      w.a.publish(subject("end"), text("before"));
      await until(() => heard.length === 1);
      stop();
      await ready();
      const after = hear(w.b, subject("end"));
      await ready();
      w.a.publish(subject("end"), text("after"));
      await until(() => after.length === 1);
      expect(heard).toEqual(["before"]);
    });

    it("answers a request with the first answer, and tells who listens that one is wanted", async () => {
      const seen: BusMessage[] = [];
      w.b.subscribe(subject("ask"), (message) => {
        seen.push(message);
        message.respond(text(`${words(message.data)} too`));
      });
      await ready();
      const answer = await ended(w.a.request(subject("ask"), text("you"), 1_000));
      expect(words(answer)).toBe("you too");
      w.a.publish(subject("ask"), text("nobody"));
      await until(() => seen.length === 2);
      expect(seen.map(({ wantsAnswer }) => wantsAnswer)).toEqual([true, false]);
    });

    it("says at once that nobody listens, and after the time that nobody answered", async () => {
      const reason = async (last: string, ms: number): Promise<string> => {
        try {
          await ended(w.a.request(subject(last), text("?"), ms));
          return "answered";
        } catch (error) {
          return error instanceof BusError ? error.reason : String(error);
        }
      };
      expect(await reason("nobody", 60_000)).toBe("no_responders");
      w.b.subscribe(subject("mute"), () => undefined);
      await ready();
      expect(await reason("mute", 100)).toBe("timeout");
    });

    it("gathers many answers until there are enough, or the time is over, or nobody listens", async () => {
      for (const bus of [w.a, w.b]) {
        bus.subscribe(subject("many"), (message) => message.respond(text("here")));
      }
      await ready();
      const ask = (last: string, waitMs: number, max: number) =>
        ended(w.a.requestMany(subject(last), text("?"), { waitMs, max }));
      expect(await ask("many", 60_000, 2)).toHaveLength(2);
      expect(await ask("many", 200, 5)).toHaveLength(2);
      expect(await ask("nobody.at.all", 60_000, 5)).toHaveLength(0);
    });

    it("gives each inbox a name of its own, on which answers to publishes come", async () => {
      const inbox = w.a.inbox();
      expect(w.a.inbox()).not.toBe(inbox);
      const heard = hear(w.a, inbox);
      w.b.subscribe(subject("reply"), (message) => message.respond(text("to the inbox")));
      await ready();
      w.a.publish(subject("reply"), text("?"), inbox);
      await until(() => heard.length === 1);
      expect(heard).toEqual(["to the inbox"]);
    });

    it("sends nothing to an inbox but an empty word where neither a stream nor anybody else listens", async () => {
      const inbox = w.a.inbox();
      const heard = hear(w.a, inbox);
      await ready();
      w.a.publish(subject("void"), text("?"), inbox);
      await until(() => heard.length === 1);
      expect(heard).toEqual([""]);
    });

    it("acks what a stream took, with its number, and the same id again as a duplicate", async () => {
      const inbox = w.a.inbox();
      const heard = hear(w.a, inbox);
      await ready();
      const events = s.events("shop", "del_00000000000000000000001");
      const ack = (n: number) => JSON.parse(heard[n] ?? "{}") as Record<string, unknown>;
      for (const id of ["id-1", "id-2", "id-1"]) {
        w.a.publish(events, text(id), inbox, id);
        const before = heard.length;
        await until(() => heard.length > before);
      }
      const stream = streamName(w.prefix, "EVENTS");
      expect(ack(0)).toMatchObject({ stream, seq: 1 });
      expect(ack(1)).toMatchObject({ stream, seq: 2 });
      expect(ack(2)).toMatchObject({ stream, seq: 1, duplicate: true });
    });

    it("gives one message of a stream: by number, the last of a subject, the next of it from a number on", async () => {
      const inbox = w.a.inbox();
      const acks = hear(w.a, inbox);
      await ready();
      const [one, other] = ["del_00000000000000000000003", "del_00000000000000000000004"];
      for (const [id, what] of [
        [one, "a"],
        [other, "b"],
        [one, "c"],
      ] as const) {
        w.a.publish(s.events("shop", id), text(what), inbox);
      }
      await until(() => acks.length === 3);
      const seqs = acks.map((ack) => (JSON.parse(ack) as { seq: number }).seq);
      const ask = async (question: object): Promise<string | null> => {
        const api = s.streamMessage("EVENTS");
        const answer = await ended(w.a.request(api, text(JSON.stringify(question)), 2_000));
        const { message } = JSON.parse(words(answer)) as { message?: { data: string } };
        return message === undefined ? null : Buffer.from(message.data, "base64").toString();
      };
      const next_by_subj = s.eventsOfDelivery(one);
      expect(await ask({ seq: seqs[1] })).toBe("b");
      expect(await ask({ last_by_subj: s.events("shop", one) })).toBe("c");
      expect(await ask({ seq: 1, next_by_subj })).toBe("a");
      expect(await ask({ seq: (seqs[0] ?? 0) + 1, next_by_subj })).toBe("c");
      expect(await ask({ seq: (seqs[2] ?? 0) + 1, next_by_subj })).toBeNull();
    });

    it("gives back what the cells' stream has, oldest first, of one shard or of all", async () => {
      const inbox = w.a.inbox();
      const acks = hear(w.a, inbox);
      await ready();
      const sent: readonly (readonly [number, string])[] = [
        [1, "a"],
        [2, "b"],
        [1, "c"],
      ];
      for (const [shard, what] of sent) w.a.publish(s.cells(shard), text(what), inbox);
      await until(() => acks.length === 3);
      const read = async (of: string): Promise<string[]> => {
        const found: string[] = [];
        const result = await ended(w.cells.read(of, 5_000, (data) => void found.push(words(data))));
        expect(result).toEqual({ messages: found.length, isComplete: true });
        return found;
      };
      expect(await read(s.cellsAll)).toEqual(["a", "b", "c"]);
      expect(await read(s.cells(1))).toEqual(["a", "c"]);
      expect(await read(s.cells(7))).toEqual([]);
    });

    it("is closed after its end, and then drops what is published", async () => {
      expect(w.b.status()).toBe("connected");
      await ended(w.b.close());
      await until(() => w.b.status() === "closed");
      expect(w.b.publish(subject("late"), text("?"))).toBe(false);
    });
  });
}
