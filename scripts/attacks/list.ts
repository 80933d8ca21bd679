// The forty numbered attacks of docs/threat-model.md, what is expected of each, and which tests try
// it. `live`: a gateway and mostly a node in processes of their own, through real sockets;
// `inside`: a gateway in the test's process, through real sockets too; `unit`: the pure part alone.
// What a test does not try is said in `note` and not passed over.

export type Attack = {
  readonly number: number;
  readonly what: string;
  readonly expected: string;
  readonly how: "live" | "inside" | "unit";
  /**
   * Files and what the names of their tests must contain; each must match a test, and all of these
   * must pass.
   */
  readonly tests: readonly (readonly [file: string, name: string])[];
  readonly note?: string;
};

const SYSTEM = "gateway/attacks/system.itest.ts";
const DOORS = "gateway/attacks/doors.itest.ts";
const BOMBS = "gateway/attacks/bombs.itest.ts";
const STORM = "gateway/attacks/storm.itest.ts";
const OUTWARD = "gateway/attacks/outward.itest.ts";
const WIRE = "gateway/attacks/wire.itest.ts";
const FIELDS = "gateway/attacks/fields.itest.ts";
const FRAMES = "gateway/attacks/frames.itest.ts";
const MATRIX = "gateway/access/authorization.itest.ts";
const SECURITY = "gateway/access/security.itest.ts";
const REST_CREATE = "gateway/rest/create.itest.ts";
const REST_DELIVERIES = "gateway/rest/deliveries.itest.ts";
const WS = "gateway/websocket/ws.itest.ts";
const PROCESS = "gateway/process.itest.ts";
const SOCKET = "gateway/socket.itest.ts";
const PARTNERS = "gateway/partners/partners.itest.ts";
const WEBHOOKS = "gateway/events/webhooks/webhooks.itest.ts";
const WEBHOOKS_UNIT = "gateway/events/webhooks/webhooks.test.ts";
const PINGS = "actors/pings.table.test.ts";
const SLOW = "gateway/attacks/slow.itest.ts";
const CLOCK = "gateway/attacks/clock.itest.ts";
const STEADY = "engine/io/clock.test.ts";
const MEMBERSHIP = "engine/cluster/membership.table.test.ts";
const LOG = "engine/io/log.test.ts";

type Row = readonly [
  what: string,
  expected: string,
  how: Attack["how"],
  tests: Attack["tests"],
  note?: string,
];

/** In the order of their numbers. */
const ROWS: readonly Row[] = [
  [
    "another customer's delivery",
    "404, same time",
    "live",
    [
      [SYSTEM, "attack 1:"],
      [DOORS, "attack 1:"],
      [MATRIX, "read by REST"],
    ],
  ],
  [
    "a tracking link used elsewhere",
    "401 or 403",
    "live",
    [
      [DOORS, "attack 2:"],
      [REST_DELIVERIES, "is read by whoever has its link"],
      [MATRIX, "by REST"],
      [MATRIX, "by frames"],
    ],
  ],
  [
    "acting as another courier",
    "the token wins; 403",
    "live",
    [[SYSTEM, "attack 3:"]],
    "frames carry no courier's id",
  ],
  [
    "status jumps",
    "409 or 403",
    "live",
    [
      [DOORS, "attack 4:"],
      [REST_DELIVERIES, "reports progress in order only"],
      [MATRIX, "report by"],
    ],
    "what is another courier's is 404",
  ],
  ["a hundred accepts at once", "one winner, the others 409", "live", [[SYSTEM, "attack 5:"]]],
  [
    "idempotency keys misused",
    "replay, 422, 409, independent",
    "live",
    [
      [DOORS, "attack 6:"],
      [REST_CREATE, "refuses another body"],
      [REST_CREATE, "gives a create's answer again"],
      [REST_CREATE, "says 409 while"],
    ],
  ],
  [
    "forged tokens",
    "401, nothing fetched",
    "live",
    [
      [WIRE, "alg none"],
      [SYSTEM, "attack 7:"],
      [SECURITY, "are exchanged without"],
    ],
  ],
  [
    "a foreign Origin",
    "403 at the upgrade",
    "live",
    [
      [DOORS, "attack 8:"],
      [WS, "an origin of ours"],
    ],
  ],
  ["no hello", "coded close", "live", [[SYSTEM, "attack 9 and 23"]]],
  [
    "a token that expires or is revoked while connected",
    "coded close",
    "live",
    [
      [DOORS, "attack 10:"],
      [WS, "ends when its token does"],
      [SECURITY, "ends the sockets of a principal"],
    ],
  ],
  [
    "bombs of nested arrays, 1 to 64 KB",
    "refused within 50 ms, memory flat",
    "live",
    [[BOMBS, "attack 11:"]],
  ],
  [
    "truncated, trailing, extended, non-finite values",
    "a code, no crash",
    "live",
    [
      [FRAMES, "every field"],
      [WIRE, "bombs, nesting"],
      [WIRE, "random bytes"],
    ],
  ],
  [
    "keys that reach a prototype",
    "refused, prototypes clean",
    "live",
    [
      [FIELDS, "is a problem at its pointer"],
      [REST_CREATE, "prototype"],
      [OUTWARD, "attack 31:"],
    ],
  ],
  [
    "too large frames, text, a million fragments, ping floods",
    "closed or ignored, no growth",
    "live",
    [
      [BOMBS, "attack 14: text"],
      [BOMBS, "attack 14: a million"],
      [SYSTEM, "attack 14:"],
    ],
    "frames without a mask are noise to the library, not a violation",
  ],
  [
    "coordinates out of range",
    "a problem with its pointer",
    "live",
    [
      [FIELDS, "/v1/couriers/me/location"],
      [FIELDS, "/v1/deliveries:"],
    ],
  ],
  ["old, doubled, early and ancient pings", "not applied to now", "live", [[SYSTEM, "attack 16:"]]],
  ["a jump of 300 km and back", "flagged, not matched", "live", [[SYSTEM, "attack 17:"]]],
  ["10,000 offline pings at once", "paced, bounded", "live", [[SYSTEM, "attack 18:"]]],
  ["1,000 pings a second", "limited, others served", "live", [[WIRE, "a flood of pings"]]],
  [
    "10,000 subscriptions",
    "limit code",
    "live",
    [
      [SYSTEM, "attack 20:"],
      [WS, "follows a bounded number"],
    ],
  ],
  [
    "a slow reader",
    "conflated, memory bounded, coded close",
    "live",
    [
      [DOORS, "attack 21:"],
      [SOCKET, "says when a reader is behind"],
    ],
    "positions alone never fill a buffer: the coded close is tried on the adapter",
  ],
  [
    "5,000 sockets in 10 s, then kill -9 of a gateway",
    "all back with jitter, none stuck",
    "live",
    [
      [STORM, "attack 22:"],
      [SYSTEM, "attack 22:"],
    ],
  ],
  [
    "headers and bodies that drip",
    "a head is cut after 15 s, a body after 30 s",
    "live",
    [
      [SYSTEM, "attack 9 and 23"],
      [WIRE, "stops half way"],
    ],
  ],
  [
    "broken bodies, lengths and headers",
    "4xx, connection closed",
    "live",
    [
      [WIRE, "two lengths"],
      [REST_CREATE, "refuses what is not JSON"],
    ],
  ],
  [
    "tricks in the path",
    "404 or 405",
    "live",
    [
      [WIRE, "tricks in the path"],
      [FIELDS, "an id that is none"],
    ],
  ],
  [
    "SQL in every text",
    "stored or refused as data",
    "live",
    [
      [SYSTEM, "attack 26 and 27"],
      [FIELDS, "are a problem at their parameter"],
    ],
  ],
  [
    "scripts and forged log lines in texts",
    "escaped, one log line",
    "live",
    [[SYSTEM, "attack 26 and 27"]],
    "the console is not tried",
  ],
  ["doubled parameters and keys", "refused, or documented", "live", [[SYSTEM, "attack 28:"]]],
  [
    "a partner on another's subjects",
    "permission violation",
    "inside",
    [
      [PARTNERS, "attack 29"],
      [OUTWARD, "attack 29:"],
    ],
  ],
  ["a hostile reply subject", "no publish there", "inside", [[PARTNERS, "attack 30"]]],
  [
    "broken NATS requests",
    "service error code",
    "inside",
    [
      [PARTNERS, "attack 31"],
      [PARTNERS, "bad input is a problem"],
      [PARTNERS, "MessagePack in"],
      [OUTWARD, "attack 31:"],
    ],
    "line ends in headers are refused by the client library and not sent past it",
  ],
  [
    "a partner's name with dots or wildcards",
    "refused",
    "inside",
    [[PARTNERS, "is no partner's name"]],
  ],
  [
    "webhooks to private addresses, rebinding",
    "refused",
    "live",
    [
      [OUTWARD, "attack 33: no private"],
      [OUTWARD, "attack 33: a name"],
      [WEBHOOKS, "a redirect is not followed"],
      [WEBHOOKS_UNIT, "private address"],
    ],
  ],
  ["a replayed webhook", "refused", "unit", [[WEBHOOKS_UNIT, "hold for either secret"]]],
  [
    "handlers that throw or answer twice",
    "500 or nothing, process alive",
    "inside",
    [
      [SOCKET, "answers 500"],
      [SOCKET, "answers once"],
    ],
    "our handlers do not throw on demand: thrown by a test's own",
  ],
  [
    "NATS or Postgres gone, slow, back",
    "503 with Retry-After, then recovery",
    "live",
    [
      [PROCESS, "asks to come back while Postgres"],
      [PROCESS, "creates, accepts and reports without NATS"],
      [SLOW, "attack 36: with a"],
      [SLOW, "attack 36: a start"],
    ],
    "late by 2 s each way counts as away, as silent does; a start behind that may end with code 1, to be tried again",
  ],
  [
    "a clock set back",
    "timers and versions monotonic",
    "live",
    [
      [CLOCK, "attack 37: by"],
      [CLOCK, "attack 37: timers"],
      [PINGS, "steps back"],
      [MEMBERSHIP, "clock is set back"],
      [STEADY, "does not step"],
    ],
    "the clock as the processes read it; Postgres's own and the phones' are not moved",
  ],
  [
    "SIGTERM under load",
    "no acknowledged write lost, coded close, exit in time",
    "live",
    [
      [STORM, "attack 38:"],
      [PROCESS, "ends in order at SIGTERM"],
    ],
  ],
  [
    "personal data in the logs of these attacks",
    "none",
    "live",
    [
      [WIRE, "nothing was a bug"],
      [FIELDS, "nothing was a bug"],
      [LOG, ""],
    ],
  ],
  ["10,000 guesses at tracking links", "limited, no oracle", "live", [[SYSTEM, "attack 40:"]]],
];

export const ATTACKS: readonly Attack[] = ROWS.map(([what, expected, how, tests, note], i) => ({
  ...{ number: i + 1, what, expected, how, tests },
  ...(note === undefined ? {} : { note }),
}));

/** The attack whose evidence is the logs of the whole run. */
export const LOGS_ATTACK = 39;
