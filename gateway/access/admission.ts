/**
 * Which requests a gateway still takes when there is too much to do: reads are refused first, then
 * creates, accepts and statuses last, because somebody stands at a door with a parcel. Pure:
 * pressure and time in, level out.
 *
 * The level rises at once, as many steps as the pressure asks for, and falls one step at a time
 * after a while of calm, so that it does not swing with each request that was refused.
 */
import type { Millis } from "../../proto/ids.ts";

/** `command`: accept, decline, status, cancel, shift and the like. */
export type RequestKind = "read" | "create" | "command";

export type Pressure = {
  /** How late the event loop is, smoothed. */
  readonly lagMs: number;
  /** Requests whose handler runs. */
  readonly requests: number;
  /** Questions to the store that wait for their answer. */
  readonly statements: number;
};

/** The pressure from which on reads are refused. */
export type AdmissionLimits = Pressure;

export const ADMISSION_LIMITS: AdmissionLimits = { lagMs: 250, requests: 1_000, statements: 750 };

/** 0: all is taken; 1: no reads; 2: no creates either; 3: nothing. */
export type Level = 0 | 1 | 2 | 3;

export type Admission = {
  readonly level: Level;
  /** Since when the pressure is well below what this level stands for; null when it is not. */
  readonly calmSince: Millis | null;
};

export const OPEN: Admission = { level: 0, calmSince: null };

/** From which multiple of the limits on a level holds. */
const ENTERED_AT: Readonly<Record<Level, number>> = { 0: 0, 1: 1, 2: 2, 3: 4 };
const REFUSED_FROM: Readonly<Record<RequestKind, Level>> = { read: 1, create: 2, command: 3 };
/** Well below: this part of what the level was entered at. */
const CALM = 0.7;
export const CALM_MS = 1_000;

/** The next state. Total; a clock that steps back only prolongs a level. */
export function step(
  before: Admission,
  pressure: Pressure,
  limits: AdmissionLimits,
  now: Millis,
): Admission {
  const load = Math.max(
    pressure.lagMs / limits.lagMs,
    pressure.requests / limits.requests,
    pressure.statements / limits.statements,
  );
  const wanted = levelOf(load);
  if (wanted > before.level) return { level: wanted, calmSince: null };
  if (before.level === 0) return before;
  if (load >= CALM * ENTERED_AT[before.level]) {
    return before.calmSince === null ? before : { level: before.level, calmSince: null };
  }
  if (before.calmSince === null) return { level: before.level, calmSince: now };
  if (now - before.calmSince < CALM_MS) return before;
  return { level: (before.level - 1) as Level, calmSince: now };
}

export const admits = ({ level }: Admission, kind: RequestKind): boolean =>
  level < REFUSED_FROM[kind];

function levelOf(load: number): Level {
  if (load >= ENTERED_AT[3]) return 3;
  if (load >= ENTERED_AT[2]) return 2;
  return load >= ENTERED_AT[1] ? 1 : 0;
}
