import { expect, test } from "vitest";
import type { Finding, Judgement } from "./judge.ts";
import { acknowledgedIn } from "./judge.ts";
import { findingLines, rowsOf, tableText, violationsOf } from "./report.ts";
import { answersTo, servedAfter } from "./round.ts";
import type { Request } from "./history.ts";
import type { Round } from "./round.ts";

const round = (more: Partial<Round>): Round => ({
  fault: "node-kill",
  victim: "node1",
  from: 0,
  to: 1,
  shards: 5,
  servedMs: 700,
  answeredMs: 100,
  slowestProbeMs: 700,
  refused: 0,
  slow: 1,
  requests: 100,
  requestMs: [10, 20, 80],
  offersLost: 0,
  creates: { answered: 40, unanswered: 0, slowestMs: 90 },
  accepts: { answered: 10, unanswered: 0, slowestMs: 80 },
  eventsLateMs: 300,
  eventsToldMs: 400,
  positionsGapMs: 1_010,
  claims: 0,
  mismatches: [],
  complaints: [],
  notes: [],
  ...more,
});
const plan = [
  { fault: "node-kill", title: "kill of a node", count: 3 },
  { fault: "nats-kill", title: "kill of NATS", count: 1 },
] as const;
const finding = (round_: number | null): Finding => ({
  rule: "D1",
  delivery: "del_1",
  text: "was a's and is b's",
  round: round_,
});

test("a row sums its rounds and counts each kind of broken promise", () => {
  const rounds = [
    round({}),
    round({ servedMs: 900, refused: 2, complaints: ["not whole: CELLS"] }),
    round({ fault: "nats-kill", servedMs: null, offersLost: 1, notes: ["never on a phone: d"] }),
  ];
  const [kill, nats] = rowsOf(plan, rounds, [finding(1), finding(null)]);
  expect(kill).toMatchObject({ done: 2, planned: 3, servedP50Ms: 700, servedMaxMs: 900 });
  expect(kill).toMatchObject({ requests: 200, refused: 2, violations: 2 });
  expect(nats).toMatchObject({ neverServed: 1, offersLost: 1, servedMaxMs: null, violations: 1 });
  const both = violationsOf([kill!, nats!], [finding(1), finding(null)]);
  expect(both).toEqual({ inRounds: 3, elsewhere: 1 });
});

test("without a broken promise there is none in the table", () => {
  const rows = rowsOf(plan, [round({})], []);
  expect(violationsOf(rows, [])).toEqual({ inRounds: 0, elsewhere: 0 });
  const lines = tableText(rows).split("\n");
  expect(lines[2]).toMatch(
    /^kill of a node +1\/3 +0\.70 +0\.70 +0\.70 +100 +0 +1 +80 +0\.09 +0\.08 +0 +0 +0\.30 +0\.40 +1\.01 +0$/,
  );
  expect(lines[3]).toMatch(/^kill of NATS +0\/1 +- +- +- +0 +0 +0 +- /);
});

test("findings and complaints are told with their fault", () => {
  const judgement = { findings: [finding(0)] } as unknown as Judgement;
  const lines = findingLines(judgement, [round({ complaints: ["ended by itself: node2"] })]);
  expect(lines).toEqual([
    "  D1 del_1: was a's and is b's (during node-kill, round 1)",
    "  round 1, node-kill (node1): ended by itself: node2",
  ]);
});

test("served again is when the last shard had its first offer", () => {
  const probe = (shard: number, sentAt: number, offeredAt: number | null) => ({
    shard,
    sentAt,
    offeredAt,
    answeredAt: sentAt,
    delivery: "d",
  });
  const probes = [probe(1, 100, 900), probe(1, 300, 800), probe(2, 100, null), probe(2, 400, 600)];
  expect(servedAfter(probes, [1, 2], 100)).toBe(700);
  expect(servedAfter(probes, [1, 2, 3], 100)).toBeNull();
  expect(servedAfter([], [], 100)).toBe(0);
});

test("only what was answered with yes counts as acknowledged", () => {
  const base = { who: "a", status: null, courier: null, sentAt: 0, endedAt: 1, delivery: "d" };
  const facts = acknowledgedIn([
    { ...base, verb: "create", outcome: { is: "ok" } },
    { ...base, verb: "accept", outcome: { is: "unknown", code: "unavailable" } },
    { ...base, verb: "cancel", outcome: { is: "refused", code: "wrong_status" } },
    { ...base, verb: "status", status: "picked_up", outcome: { is: "ok" } },
  ]);
  expect(facts).toEqual({
    creates: ["d"],
    accepts: [],
    cancels: [],
    statuses: [{ delivery: "d", status: "picked_up" }],
  });
});

test("a refusal that is right is an answer, an attempt that was given up is none", () => {
  const asked = (sentAt: number, endedAt: number | null, outcome: Request["outcome"]): Request => ({
    verb: "accept",
    who: "cur_1",
    delivery: "del_1",
    status: null,
    courier: null,
    sentAt,
    endedAt,
    outcome,
  });
  const requests = [
    asked(0, 40, { is: "ok" }),
    asked(0, 70, { is: "refused", code: "delivery_taken" }),
    asked(10, 310, { is: "unknown", code: "unavailable" }),
    asked(20, null, { is: "unknown", code: "under_way" }),
  ];
  expect(answersTo(requests, "accept")).toEqual({ answered: 2, unanswered: 1, slowestMs: 300 });
  expect(answersTo(requests, "create")).toEqual({ answered: 0, unanswered: 0, slowestMs: 0 });
});
