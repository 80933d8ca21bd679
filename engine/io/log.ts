/**
 * The log: JSON lines on standard output through pino. Personal data has no place in it; what slips
 * in under one of the known names is cut out here, at the first three levels of an object. Ids are
 * not personal data.
 *
 * A reader that stands still or goes away costs lines, never the process (`output.ts`): what it
 * does not take is kept up to a bound, then the newest lines are dropped, counted, and said in one
 * line when it reads again.
 */
import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";
import { Output } from "./output.ts";

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
  "cookie",
  "authKeyPrevious",
  "trackingUrl",
  "tracking_url",
  "name",
  "courierName",
  "courierPhone",
  "notes",
] as const;

const REDACTED = ["", "*.", "*.*."].flatMap((depth) => SECRET_NAMES.map((name) => depth + name));

let standardOutput: Output | null = null;

/** Standard output, opened at its first use; one for all logs of this process. */
const output = (): Output => (standardOutput ??= new Output(1, { notice: droppedLine }));

const droppedLine = (dropped: number): string =>
  JSON.stringify({
    level: "warn",
    time: new Date().toISOString(),
    dropped,
    msg: "log lines were dropped: nobody read them",
  });

/** Lines that no reader took, since the process began. */
export const droppedLogLines = (): number => standardOutput?.droppedLines ?? 0;

/** A log of one process. `base` stands in every line, for example the role and the node's id. */
export function createLog(
  level: LogLevel,
  base: Readonly<Record<string, string>>,
  destination: DestinationStream = output(),
): Log {
  const options = {
    level,
    base,
    redact: { paths: REDACTED, censor: "[cut]" },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: {
      level: (label: string) => ({ level: label }),
      // A stack begins with the error's text.
      log: (fields: Record<string, unknown>) =>
        typeof fields["stack"] === "string"
          ? { ...fields, stack: scrubbed(fields["stack"]) }
          : fields,
    },
  };
  return pino(options, destination);
}

/** Secrets and phones as they stand in the texts of errors, and what is left of them. */
const IN_TEXTS: readonly (readonly [RegExp, string])[] = [
  [/eyJ[\w-]+\.[\w-]+\.[\w-]*/g, "[token]"],
  [/\b(Bearer|Basic) +\S+/gi, "$1 [cut]"],
  [/\/t\/[\w-]{22}/g, "/t/[cut]"],
  [/(:\/\/[^:@/\s]*):[^@/\s]+@/g, "$1:[cut]@"],
  [/\+\d[\d ().-]{6,}\d/g, "[phone]"],
];

/** A text without what has no place in a log. */
export const scrubbed = (text: string): string =>
  IN_TEXTS.reduce((left, [pattern, put]) => left.replace(pattern, put), text);

const CAUSES_MAX = 3;

/**
 * For errors in a log line: the message and code, and those of what it was caused by, which is
 * where a driver says what ailed it; the stack only of what is our own fault.
 */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: scrubbed(String(error)) };
  const code = (error as { code?: unknown }).code;
  const causes: string[] = [];
  for (let cause = error.cause; causes.length < CAUSES_MAX; cause = cause.cause) {
    if (!(cause instanceof Error)) break;
    causes.push(scrubbed(describe(cause)));
  }
  return {
    error: scrubbed(error.message),
    ...(typeof code === "string" ? { code } : {}),
    ...(causes.length === 0 ? {} : { cause: causes.join(": ") }),
  };
}

function describe(error: Error): string {
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? `${error.message} (${code})` : error.message;
}
