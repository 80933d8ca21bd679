/**
 * The search by itself: who is asked in whose place, until when, and what its row says meanwhile.
 */
import { describe, expect, it } from "vitest";
import { SETTINGS, T0, courierId, jobOf } from "../sim/drive.ts";
import type { CourierId, Millis } from "../proto/ids.ts";
import { ASKED_MAX_COURIERS } from "../proto/limits.ts";
import type { Candidate, Effect, SearchResult } from "./actor.ts";
import { onCandidates, onDeclined, onHeld, onRefused, onTime, onWake, openWave } from "./search.ts";
import { searchFrom } from "./search-state.ts";
import type { Search, SearchContext, SearchStep } from "./search-state.ts";

const names = (count: number, from = 1): CourierId[] =>
  Array.from({ length: count }, (_, i) => courierId(from + i));
const [A, B, C, D, E] = names(5) as [CourierId, CourierId, CourierId, CourierId, CourierId];
const NEW = { wave: 0, live: [], asked: [], nextLookAt: T0 };
const candidateOf = (courier: CourierId): Candidate => ({ courier, distanceM: 10, etaS: 5 });

/** A search at one moment after another; each call gives what it asks for. */
function drive(initial: Search = searchFrom(NEW), more: Partial<SearchContext> = {}) {
  let search = initial;
  let now = T0;
  const ctx = (): SearchContext => ({
    ...{ settings: SETTINGS, job: jobOf(), version: 1, replacing: null, ...more },
    now,
  });
  const take = (step: SearchStep | null): readonly Effect[] => {
    if (step !== null) search = step.search;
    return step?.effects ?? [];
  };
  const found = (couriers: readonly CourierId[]): SearchResult => ({
    ...{ radiusM: 0, gates: {}, candidates: couriers.map(candidateOf) },
  });
  return {
    search: () => search,
    open: () => take(openWave(search, ctx())),
    found: (...couriers: CourierId[]) => take(onCandidates(search, found(couriers), ctx())),
    held: (courier: CourierId) => take(onHeld(search, courier, ctx())),
    refused: (courier: CourierId) =>
      take(onRefused(search, { courier, reason: "no_slots" }, ctx())),
    declined: (courier: CourierId) => take(onDeclined(search, courier, null, ctx())),
    woken: () => take(onWake(search, A, ctx())),
    at: (ms: number): readonly Effect[] => {
      now = T0 + ms;
      return take(onTime(search, ctx()));
    },
    /** Opens a wave that these couriers are offered. */
    wave(...couriers: CourierId[]): readonly Effect[] {
      this.open();
      this.found(...couriers);
      return couriers.flatMap((courier) => [...this.held(courier)]);
    },
  };
}
const sentOf = (effects: readonly Effect[]): readonly string[] =>
  effects.flatMap((e) => (e.do === "send" ? [`${e.post.msg.type} ${e.post.id}`] : []));
const roundsOf = (effects: readonly Effect[]) =>
  effects.flatMap((e) => (e.do === "commit" && e.write.kind === "round" ? [e.write] : []));
const looksOf = (effects: readonly Effect[]) =>
  effects.flatMap((e) => (e.do === "search" ? [e.query] : []));
const untilOf = (effects: readonly Effect[]): Millis[] =>
  effects.flatMap((e) => (e.do === "send" && "until" in e.post.msg ? [e.post.msg.until] : []));
const offered = (courier: CourierId, untilMs: number) => ({
  ...candidateOf(courier),
  until: T0 + untilMs,
});

describe("holds", () => {
  it("are asked for until five seconds from now, three at a time, the next in a refuser's place", () => {
    const s = drive();
    s.open();
    const asked = s.found(...names(8));
    expect(sentOf(asked)).toEqual([A, B, C].map((id) => `hold ${id}`));
    expect(untilOf(asked)).toEqual([5_000, 5_000, 5_000].map((ms) => T0 + ms));
    expect(sentOf(s.refused(A))).toEqual([`hold ${D}`]);
    expect(sentOf(s.refused(B))).toEqual([`hold ${E}`]);
  });

  it("that are granted twice are not given back while they count", () => {
    const s = drive();
    s.open();
    s.found(A, B);
    expect([s.held(A), s.held(A)]).toEqual([[], []]);
    s.held(B);
    expect(s.held(A)).toEqual([]);
    expect(sentOf(s.held(C))).toEqual([`release ${C}`]);
  });

  it("nobody answered for are given up one by one as their time is over, each for one other", () => {
    const s = drive();
    s.open();
    s.found(...names(8));
    s.at(100);
    expect(sentOf(s.refused(A))).toEqual([`hold ${D}`]);
    // B and C were asked at first; D has 100 ms more.
    expect(sentOf(s.at(250))).toEqual([`hold ${E}`, `hold ${courierId(6)}`]);
    expect(sentOf(s.at(349))).toEqual([]);
    expect(sentOf(s.at(350))).toEqual([`hold ${courierId(7)}`]);
  });

  it("nobody answered for are not made up for once somebody is held: the wave goes out", () => {
    const s = drive();
    s.open();
    s.found(...names(5));
    s.held(A);
    expect(sentOf(s.at(250))).toEqual([`offer ${A}`]);
  });
});

describe("a round", () => {
  it("says when the next wave opens, and counts its offers on from those before", () => {
    const s = drive();
    const [first] = roundsOf(s.wave(A, B));
    expect(first).toMatchObject({ wave: 1, nextAttemptAt: T0 + SETTINGS.WAVE_MS });
    s.at(SETTINGS.WAVE_MS);
    s.found(C);
    const second = s.held(C);
    const ordinals = second.flatMap((e) =>
      e.do === "send" && e.post.msg.type === "offer" ? [e.post.msg.ordinal] : [],
    );
    expect(ordinals).toEqual([3]);
  });

  it("after which nobody accepts shows its own offers once more, and none that is over", () => {
    const s = drive();
    s.wave(A);
    s.at(SETTINGS.WAVE_MS);
    s.found(B);
    s.held(B);
    expect(sentOf(s.at(2 * SETTINGS.WAVE_MS))).toEqual([`offer ${B}`]);
  });

  it("takes it out of the backlog in which it was", () => {
    const s = drive();
    s.open();
    for (let reach = 0; reach < 3; reach++) s.found();
    expect(s.search().inBacklog).toBe(true);
    s.at(SETTINGS.WAIT_LOOK_MS);
    s.found(A);
    expect(sentOf(s.held(A)).map((sent) => sent.split(" ")[0])).toEqual(["leave", "offer"]);
  });
});

describe("offers", () => {
  it("lapse one by one: those that are still open stay, and it looks on when the last is gone", () => {
    const live = [offered(A, 1_000), offered(B, 3_000)];
    const s = drive(searchFrom({ wave: 1, live, asked: [A, B], nextLookAt: T0 + 60_000 }));
    expect(looksOf(s.at(1_000))).toEqual([]);
    expect(s.search().live.map(({ courier }) => courier)).toEqual([B]);
    expect(looksOf(s.at(3_000))[0]?.exclude).toEqual([A, B]);
  });

  it("that lapse as the next wave is due open it all the same", () => {
    const live = [offered(A, 1_000), offered(B, 9_000)];
    const s = drive(searchFrom({ wave: 1, live, asked: [A, B], nextLookAt: T0 + 1_000 }));
    expect(looksOf(s.at(1_000))).toHaveLength(1);
  });

  it("declined while others are asked for a hold open no second look", () => {
    const s = drive();
    s.wave(A);
    s.at(SETTINGS.WAVE_MS);
    expect(looksOf(s.declined(A))).toEqual([]);
    s.found(B);
    expect(sentOf(s.held(B))).toEqual([`offer ${B}`]);
  });
});

describe("the backlog", () => {
  const parked = (s: ReturnType<typeof drive>): readonly Effect[] => {
    s.found();
    s.found();
    return s.found();
  };

  it("with offers out is left when the last of them ends, and says that it is searching", () => {
    const live = [offered(A, 4_000), offered(B, 9_000)];
    const s = drive(searchFrom({ wave: 2, live, asked: [A, B], nextLookAt: T0 }));
    s.at(0);
    const [round] = roundsOf(s.found());
    expect(round).toMatchObject({ nextAttemptAt: T0 + 9_000, reason: "searching" });
    expect(s.search()).toMatchObject({ parkedUntil: null, inBacklog: true });
  });

  it("without offers says that nobody is free, and looks again in half a minute", () => {
    const s = drive();
    s.open();
    const [round] = roundsOf(parked(s));
    const nextAttemptAt = T0 + SETTINGS.WAIT_LOOK_MS;
    expect(round).toMatchObject({ nextAttemptAt, reason: "no_courier_free" });
    expect(looksOf(s.at(SETTINGS.WAIT_LOOK_MS - 1))).toEqual([]);
    expect(looksOf(s.at(SETTINGS.WAIT_LOOK_MS))).toHaveLength(1);
    // What it says next is new: the time before is over.
    expect(roundsOf(s.found())).toHaveLength(1);
  });

  it("is not outlived: it looks when its search ends; a search for a replacement has no such end", () => {
    const job = jobOf(1, { searchUntil: T0 + 10_000 });
    const soon = drive(undefined, { job });
    soon.open();
    expect(roundsOf(parked(soon))[0]?.nextAttemptAt).toBe(T0 + 10_000);
    const replacing = { courier: A, reason: "courier_dark" } as const;
    const other = drive(undefined, { job, replacing });
    other.open();
    const effects = parked(other);
    expect(roundsOf(effects)[0]?.nextAttemptAt).toBe(T0 + SETTINGS.WAIT_LOOK_MS);
    // Whom it is to replace is not woken for it.
    const waits = effects.flatMap((e) =>
      e.do === "send" && e.post.msg.type === "wait" ? [e.post.msg.asked] : [],
    );
    expect(waits).toEqual([[A]]);
  });

  it("wakes only who rests in it", () => {
    const s = drive();
    s.open();
    parked(s);
    s.woken();
    s.found(B);
    expect([s.woken(), s.search().inBacklog]).toEqual([[], false]);
  });
});

describe("at most 999 couriers", () => {
  const asked = names(ASKED_MAX_COURIERS, 1_000);

  it("are asked: with the last place one more is, and then nobody", () => {
    const s = drive(searchFrom({ ...NEW, wave: 1, asked: asked.slice(1) }));
    s.at(0);
    expect(sentOf(s.found(A, B, C))).toEqual([`hold ${A}`]);
    s.held(A);
    s.at(SETTINGS.WAVE_MS);
    expect(sentOf(s.found(B)).map((sent) => sent.split(" ")[0])).toEqual(["wait"]);
  });

  it("are not looked for further away either", () => {
    const s = drive(searchFrom({ ...NEW, asked }));
    s.at(0);
    expect(looksOf(s.found())).toEqual([]);
    expect(s.search().phase.at).toBe("parked");
  });
});
