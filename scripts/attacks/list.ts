// The forty numbered attacks of docs/threat-model.md, and which tests try each. `live`: a gateway (and where it says so a
// node) in processes of their own, through real sockets; `inside`: a gateway in the test's process, through real sockets
// too; `unit`: the pure part alone. What a test does not try is said in `note` and not passed over.

export type Attack = {
  readonly number: number;
  readonly what: string;
  readonly how: "live" | "inside" | "unit";
  /** Files and what the names of their tests must contain; each must match a test, and all of these must pass. */
  readonly tests: readonly (readonly [file: string, name: string])[];
  readonly note?: string;
};

const SYSTEM = "gateway/attack-system.itest.ts";
const WIRE = "gateway/attack-wire.itest.ts";
const FIELDS = "gateway/attack-fields.itest.ts";
const FRAMES = "gateway/attack-frames.itest.ts";
const MATRIX = "gateway/authorization.itest.ts";
const SECURITY = "gateway/security.itest.ts";
const REST_CREATE = "gateway/rest-create.itest.ts";
const REST_DELIVERIES = "gateway/rest-deliveries.itest.ts";
const WS = "gateway/ws.itest.ts";
const PROCESS = "gateway/process.itest.ts";
const SOCKET = "gateway/socket.itest.ts";
const PARTNERS = "gateway/partners/partners.itest.ts";
const WEBHOOKS = "gateway/webhooks/webhooks.itest.ts";
const WEBHOOKS_UNIT = "gateway/webhooks/webhooks.test.ts";

const row = (
  number: number,
  what: string,
  how: Attack["how"],
  tests: Attack["tests"],
  note?: string,
): Attack => ({ number, what, how, tests, ...(note === undefined ? {} : { note }) });

export const ATTACKS: readonly Attack[] = [
  row(
    1,
    "another customer's delivery",
    "live",
    [
      [SYSTEM, "attack 1:"],
      [MATRIX, "read by REST"],
    ],
    "the bodies are compared, their timing is not",
  ),
  row(2, "a tracking link used elsewhere", "inside", [
    [REST_DELIVERIES, "is read by whoever has its link"],
    [MATRIX, "by REST"],
    [MATRIX, "by frames"],
  ]),
  row(
    3,
    "acting as another courier",
    "live",
    [[SYSTEM, "attack 3:"]],
    "frames carry no courier's id",
  ),
  row(4, "status jumps", "inside", [
    [REST_DELIVERIES, "reports progress in order only"],
    [MATRIX, "report by"],
  ]),
  row(5, "a hundred accepts at once", "live", [[SYSTEM, "attack 5:"]]),
  row(6, "idempotency keys misused", "inside", [
    [REST_CREATE, "refuses another body"],
    [REST_CREATE, "gives a create's answer again"],
    [REST_CREATE, "says 409 while"],
  ]),
  row(7, "forged tokens", "live", [
    [WIRE, "alg none"],
    [SYSTEM, "attack 7:"],
    [SECURITY, "are exchanged without"],
  ]),
  row(8, "a foreign Origin", "inside", [[WS, "an origin of ours"]]),
  row(9, "no hello", "live", [[SYSTEM, "attack 9 and 23"]]),
  row(10, "a token that expires or is revoked while connected", "inside", [
    [WS, "ends when its token does"],
    [SECURITY, "ends the sockets of a principal"],
  ]),
  row(11, "bombs of nested arrays", "live", [[WIRE, "bombs, nesting"]]),
  row(12, "truncated, trailing, extended, non-finite values", "live", [
    [FRAMES, "every field"],
    [WIRE, "random bytes"],
  ]),
  row(13, "keys that reach a prototype", "live", [
    [FIELDS, "is a problem at its pointer"],
    [REST_CREATE, "prototype"],
  ]),
  row(
    14,
    "too large frames, empty fragments, ping floods",
    "live",
    [
      [WIRE, "bombs, nesting"],
      [SYSTEM, "attack 14:"],
    ],
    "100,000 fragments and 50,000 pings; unmasked frames and invalid UTF-8 are the library's and not tried",
  ),
  row(15, "coordinates out of range", "live", [
    [FIELDS, "/v1/couriers/me/location"],
    [FIELDS, "/v1/deliveries:"],
  ]),
  row(16, "old, doubled, early and ancient pings", "live", [[SYSTEM, "attack 16:"]]),
  row(17, "a jump of 300 km and back", "live", [[SYSTEM, "attack 17:"]]),
  row(18, "10,000 offline pings at once", "live", [[SYSTEM, "attack 18:"]]),
  row(19, "1,000 pings a second", "live", [[WIRE, "a flood of pings"]]),
  row(20, "10,000 subscriptions", "live", [
    [SYSTEM, "attack 20:"],
    [WS, "follows a bounded number"],
  ]),
  row(21, "a slow reader", "inside", [[SOCKET, "says when a reader is behind"]]),
  row(
    22,
    "a storm of connections",
    "live",
    [[SYSTEM, "attack 22:"]],
    "1,000 connections of one machine; the death of a gateway under load is in npm run faults",
  ),
  row(23, "headers and bodies that drip", "live", [
    [SYSTEM, "attack 9 and 23"],
    [WIRE, "stops half way"],
  ]),
  row(24, "broken bodies, lengths and headers", "live", [
    [WIRE, "two lengths"],
    [REST_CREATE, "refuses what is not JSON"],
  ]),
  row(25, "tricks in the path", "live", [
    [WIRE, "tricks in the path"],
    [FIELDS, "an id that is none"],
  ]),
  row(26, "SQL in every text", "live", [
    [SYSTEM, "attack 26 and 27"],
    [FIELDS, "are a problem at their parameter"],
  ]),
  row(
    27,
    "scripts and forged log lines in texts",
    "live",
    [[SYSTEM, "attack 26 and 27"]],
    "the console is not tried",
  ),
  row(28, "doubled parameters and keys", "live", [[SYSTEM, "attack 28:"]]),
  row(29, "a partner on another's subjects", "inside", [[PARTNERS, "attack 29"]]),
  row(30, "a hostile reply subject", "inside", [[PARTNERS, "attack 30"]]),
  row(
    31,
    "broken NATS requests",
    "inside",
    [[PARTNERS, "attack 31"]],
    "line ends in headers; see the file for the rest",
  ),
  row(32, "a partner's name with dots or wildcards", "inside", [
    [PARTNERS, "is no partner's name"],
  ]),
  row(33, "webhooks to private addresses", "inside", [
    [WEBHOOKS, "a redirect is not followed"],
    [WEBHOOKS_UNIT, "private address"],
  ]),
  row(34, "a replayed webhook", "unit", [[WEBHOOKS_UNIT, "hold for either secret"]]),
  row(35, "handlers that throw or answer twice", "inside", [
    [SOCKET, "answers 500"],
    [SOCKET, "answers once"],
  ]),
  row(36, "NATS or Postgres away", "live", [
    [PROCESS, "asks to come back while Postgres"],
    [PROCESS, "creates, accepts and reports without NATS"],
  ]),
  row(
    37,
    "a clock set back",
    "unit",
    [
      ["actors/pings.table.test.ts", "steps back"],
      ["engine/membership.table.test.ts", "clock is set back"],
    ],
    "the clock of a running process is not moved",
  ),
  row(
    38,
    "SIGTERM",
    "live",
    [[PROCESS, "ends in order at SIGTERM"]],
    "not under load here; npm run faults does that",
  ),
  row(39, "personal data in the logs of these attacks", "live", [
    [WIRE, "nothing was a bug"],
    [FIELDS, "nothing was a bug"],
    ["engine/io/log.test.ts", ""],
  ]),
  row(40, "10,000 guesses at tracking links", "live", [[SYSTEM, "attack 40:"]]),
];
