/**
 * The log: JSON lines on standard output through pino. Personal data has no place in it; what slips in under one
 * of the known names is cut out here, at the first three levels of an object. Ids are not personal data.
 */
import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";

export type Log = Logger;

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Names under which phones, secrets, addresses, people and places travel in our objects. */
const SECRET_NAMES = [
  "phone",
  "recipientPhone",
  "recipient_phone",
  "token",
  "authorization",
  "Authorization",
  "authKey",
  "secret",
  "password",
  "pickupAddress",
  "pickup_address",
  "dropoffAddress",
  "dropoff_address",
  "pickupArea",
  "dropoffArea",
  "address",
  "courierName",
  "courierPhone",
  "notes",
] as const;

const REDACTED = ["", "*.", "*.*."].flatMap((depth) => SECRET_NAMES.map((name) => depth + name));

/** A log of one process. `base` stands in every line, for example the role and the node's id. */
export function createLog(
  level: LogLevel,
  base: Readonly<Record<string, string>>,
  destination?: DestinationStream,
): Log {
  const options = {
    level,
    base,
    redact: { paths: REDACTED, censor: "[cut]" },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** For errors in a log line: the message and code, and the stack only of what is our own fault. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: String(error) };
  const code = (error as { code?: unknown }).code;
  return { error: error.message, ...(typeof code === "string" ? { code } : {}) };
}
