/**
 * What real Postgres servers, poolers and networks throw, by the phase in which a statement meets
 * it and by what is wrong. The names are SQLSTATEs (PostgreSQL manual, appendix A), codes of Node's
 * sockets and TLS, and codes of the driver; `null` stands for an error without a code. A seed draws
 * whole groups, so that no list in production code can be complete.
 */
import postgres from "postgres";
import type { SeededRandom } from "./random.ts";

/** Where in the life of a statement it goes wrong. `connect`: it was never sent. */
export type Phase = "connect" | "statement" | "commit";

export type Group = {
  readonly name: string;
  readonly codes: readonly (string | null)[];
};

/** Marks a code that is drawn: five characters that stand on no list. */
const ON_NO_LIST = "any";

const CONNECT: readonly Group[] = [
  { name: "wrong password", codes: ["28P01", "28000", "SASL_SIGNATURE_MISMATCH"] },
  { name: "no such database", codes: ["3D000", "08004"] },
  { name: "too many clients", codes: ["53300", "53400", "08P01"] },
  { name: "starting up", codes: ["57P03", "57P01", "57P04"] },
  { name: "no network", codes: ["ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "EAI_AGAIN", "EPERM"] },
  { name: "no route", codes: ["EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "CONNECT_TIMEOUT"] },
  { name: "certificate", codes: ["CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID", "EPROTO"] },
  { name: "no grant to connect", codes: ["42501", "28000"] },
  // Classes that would be about the command, had one been sent.
  { name: "bad parameter", codes: ["22023", "42704", "23000", "55000"] },
  { name: "connect on no list", codes: [ON_NO_LIST] },
  { name: "connect without a code", codes: [null] },
];

const STATEMENT: readonly Group[] = [
  { name: "disk full", codes: ["53100", "53000"] },
  { name: "out of memory", codes: ["53200", "53400", "54000"] },
  { name: "shutting down", codes: ["57P01", "57P02", "57P04", "57P05"] },
  { name: "canceled", codes: ["57014", "25P03", "25P04"] },
  { name: "storage broken", codes: ["58030", "58P01", "58000", "XX001", "XX002"] },
  { name: "bug of the server", codes: ["XX000", "P0000", "F0000"] },
  { name: "no grant", codes: ["42501"] },
  { name: "no table", codes: ["42P01", "42703", "42883", "3F000"] },
  { name: "locked", codes: ["55P03", "40P01", "40001", "55006"] },
  { name: "read-only", codes: ["25006"] },
  { name: "plan", codes: ["0A000", "26000", "42P05", "25P02"] },
  { name: "connection broken", codes: ["08006", "08003", "CONNECTION_CLOSED", "EPIPE"] },
  { name: "statement on no list", codes: [ON_NO_LIST] },
  { name: "statement without a code", codes: [null] },
];

/** The answer to a commit, be it done or not. */
const COMMIT: readonly Group[] = [
  { name: "connection lost", codes: ["CONNECTION_CLOSED", "ECONNRESET", "EPIPE", "08006"] },
  { name: "unknown to the server", codes: ["08007", "40003"] },
  { name: "terminated", codes: ["57P01", "57P02"] },
  { name: "commit without a code", codes: [null] },
];

const GROUPS: Readonly<Record<Phase, readonly Group[]>> = {
  connect: CONNECT,
  statement: STATEMENT,
  commit: COMMIT,
};

/** Proven refusals of the command itself, by a server that is well. */
export const REFUSALS: Group = {
  name: "refusal",
  codes: ["23505", "23514", "23502", "22001", "22P02", "22003"],
};

/** Errors after which the server or the network has ended the session. */
const ENDS_SESSION = /^(08|57P0|25P03|25P04|CONNECTION_|E[A-Z]+$|XX)/;

export const groupsOf = (phase: Phase): readonly Group[] => GROUPS[phase];
export const endsSession = (error: Error): boolean => ENDS_SESSION.test(codeOf(error) ?? "08");

export const codeOf = (error: Error): string | null =>
  (error as { readonly code?: string }).code ?? null;

/** One error of the group, as the driver rejects with it. */
export function drawError({ name, codes }: Group, random: SeededRandom): Error {
  const drawn = random.pick(codes);
  const code = drawn === ON_NO_LIST ? unlisted(random) : drawn;
  return errorOf(code, name);
}

const SQLSTATE = /^[0-9A-Z]{5}$/;

/** As the driver makes them: a server's word is a PostgresError, the rest are plain errors. */
export function errorOf(code: string | null, message: string): Error {
  if (code === null) return new Error(message);
  if (!SQLSTATE.test(code) || code === "EPIPE" || code === "EPERM") {
    return Object.assign(new Error(`${message} ${code}`), { code });
  }
  const severity = ENDS_SESSION.test(code) ? "FATAL" : "ERROR";
  const parts = { message, code, severity, severity_local: severity };
  return new postgres.PostgresError(parts as never);
}

const LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/** Classes that mean a refusal or no error at all are left out. */
const NOT_DRAWN = /^(00|01|02|22|23)/;

function unlisted(random: SeededRandom): string {
  for (;;) {
    const code = Array.from({ length: 5 }, () => LETTERS[random.whole(0, LETTERS.length - 1)]);
    const text = code.join("");
    if (!NOT_DRAWN.test(text)) return text;
  }
}
