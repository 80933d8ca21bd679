/**
 * The fake passes the suite that NATS passes (`engine/io/nats/bus.itest.ts`); what only a fake can
 * be made to do is below.
 */
import { describe, expect, it } from "vitest";
import { busContract } from "../engine/io/contract/bus.ts";
import { SimClock, inMacrotask } from "./clock.ts";
import { FakeNats } from "./fake-nats.ts";
import { Machine } from "./machine.ts";
import { Network } from "./network.ts";
import { SeededRandom } from "./random.ts";

const EXACT = { offsetMs: 0, driftPpm: 0 };

function make() {
  const clock = new SimClock(1_000_000);
  const network = new Network(clock, new SeededRandom(1));
  const nats = new FakeNats(clock, network, "t");
  const machine = (name: string) => new Machine(name, clock, EXACT);
  return { clock, network, nats, machine };
}

busContract("NATS in memory", async () => {
  const { clock, nats, machine } = make();
  const [one, two] = [machine("a"), machine("b")];
  return {
    a: nats.connect(one),
    b: nats.connect(two),
    cells: nats.cellsLog(one),
    prefix: "t",
    pass: () => inMacrotask(() => clock.advance(1)),
    close: async () => undefined,
  };
});

/** Two connections, what the second hears, and time that passes. */
function pair() {
  const { clock, network, nats, machine } = make();
  const [from, to] = [machine("a"), machine("b")];
  const [a, b] = [nats.connect(from), nats.connect(to)];
  const heard: string[] = [];
  b.subscribe("t.x", ({ data }) => void heard.push(Buffer.from(data).toString()));
  const say = (word: string): boolean => a.publish("t.x", Buffer.from(word));
  return { clock, network, nats, a, b, to, heard, say };
}

describe("what goes wrong with NATS in memory", () => {
  it("drops what is published while disconnected, and what comes for who is", () =>
    inMacrotask(() => {
      const { clock, nats, a, heard, say } = pair();
      nats.goAway("a");
      expect(a.status()).toBe("disconnected");
      expect(say("lost")).toBe(false);
      nats.reconnectSpread("a");
      clock.advance(1_000);
      nats.goAway("b");
      say("lost too");
      clock.advance(10);
      nats.reconnectSpread("b");
      clock.advance(1_000);
      say("heard");
      clock.advance(10);
      expect(heard).toEqual(["heard"]);
    }));

  it("a wire that is cut loses what is sent, or keeps it until it is whole", () =>
    inMacrotask(() => {
      const { clock, network, heard, say } = pair();
      network.cut("b", "in", false);
      say("lost");
      clock.advance(10);
      network.heal("b", "in");
      network.cut("b", "in", true);
      say("late");
      clock.advance(10);
      expect(heard).toEqual([]);
      network.heal("b", "in");
      clock.advance(10);
      expect(heard).toEqual(["late"]);
    }));

  it("a flush waits for a wire that is cut, and ends when it is whole", () =>
    inMacrotask(() => {
      const { clock, network, a } = pair();
      let isFlushed = false;
      network.cut("a", "in", false);
      void a.flush().then(() => (isFlushed = true));
      clock.advance(1_000);
      expect(isFlushed).toBe(false);
      network.heal("a", "in");
      clock.advance(10);
      expect(isFlushed).toBe(true);
    }));

  it("one who is paused hears everything when it goes on, one who is dead nothing", () =>
    inMacrotask(() => {
      const { clock, heard, say, to } = pair();
      to.pause();
      say("1");
      say("2");
      clock.advance(100);
      expect(heard).toEqual([]);
      to.resume();
      clock.advance(1);
      expect(heard).toEqual(["1", "2"]);
      to.kill();
      say("3");
      clock.advance(100);
      expect(heard).toEqual(["1", "2"]);
    }));

  it("loses, doubles and holds up what it is told to", () =>
    inMacrotask(() => {
      const { clock, network, heard, say } = pair();
      network.noise = { lostRate: 0.1, twiceRate: 0.1, slowRate: 0.1 };
      for (let n = 0; n < 1_000; n++) say(String(n));
      clock.advance(10_000);
      const { lost, twice, slow } = network.counts;
      expect(Math.min(lost, twice, slow)).toBeGreaterThan(50);
      expect(heard.length).toBe(1_000 - lost + twice);
      expect(heard).not.toEqual([...heard].sort((x, y) => Number(x) - Number(y)));
    }));
});
