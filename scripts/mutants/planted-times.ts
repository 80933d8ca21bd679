// Planted bugs of times: milliseconds for seconds, minutes for hours, one side of a limit.

import type { Planted } from "./planted-bug.ts";

const KEPT = "engine/store/kept.itest.ts";
const AN_HOUR_LATER = { file: KEPT, name: "hours, and an hour later they are gone" };

export const BUGS_OF_TIMES: readonly Planted[] = [
  {
    name: "an old webhook secret signs for 1,000 days",
    kind: "times",
    file: "engine/store/webhooks.ts",
    find: "await db.query(ROTATE, [id, secret, keepOldMs / 1_000]);",
    replace: "await db.query(ROTATE, [id, secret, keepOldMs]);",
    test: {
      file: "gateway/events/webhooks/webhooks.itest.ts",
      name: "the old secret signs for a day after a rotation, and no longer",
    },
  },
  {
    name: "an old webhook secret signs for a minute and a half",
    kind: "times",
    file: "proto/limits.ts",
    find: "WEBHOOK_OLD_SECRET_MS = 86_400_000",
    replace: "WEBHOOK_OLD_SECRET_MS = 86_400",
    test: {
      file: "gateway/events/webhooks/webhooks.itest.ts",
      name: "the old secret signs for a day after a rotation, and no longer",
    },
  },
  {
    name: "keys are kept for 48 minutes",
    kind: "times",
    file: "engine/store/idempotency.ts",
    find: '${olderSql("at", "$1", "$3")}',
    replace: '${olderSql("at", "$1 / 60", "$3")}',
    test: AN_HOUR_LATER,
  },
  {
    name: "tracks are kept for 720 days",
    kind: "times",
    file: "engine/store/positions.ts",
    find: '${olderSql("at", "$1", "$3")}',
    replace: '${olderSql("at", "$1 * 24", "$3")}',
    test: AN_HOUR_LATER,
  },
  {
    name: "people are forgotten after a quarter of a year counted in minutes",
    kind: "times",
    file: "engine/store/access.ts",
    find: 'where ${olderSql("ended_at", "$1", "$3")} and ended_at',
    replace: 'where ${olderSql("ended_at", "$1 / 60", "$3")} and ended_at',
    test: AN_HOUR_LATER,
  },
  {
    name: "notices are kept for 336 days",
    kind: "times",
    file: "engine/store/notices.ts",
    find: '${olderSql("at", "$1", "$2")}',
    replace: '${olderSql("at", "$1 * 24", "$2")}',
    test: AN_HOUR_LATER,
  },
  {
    name: "a quote is good for ten days",
    kind: "times",
    file: "gateway/partners/quote.ts",
    find: "now + QUOTE_TTL_MS",
    replace: "now + QUOTE_TTL_MS * 1_000",
    test: {
      file: "gateway/partners/quote.test.ts",
      name: "a quote is good for a quarter of an hour, and says so",
    },
  },
  {
    name: "customers are told of what happened weeks ago",
    kind: "times",
    file: "gateway/events/notify/notices.ts",
    find: "Date.parse(event.at) > NOTICE_AGE_MAX_MS",
    replace: "Date.parse(event.at) > NOTICE_AGE_MAX_MS * 1_000",
    test: {
      file: "gateway/events/notify/notices.test.ts",
      name: "what happened within the hour is told",
    },
  },
  {
    name: "a delivery may be asked for seven days of 1,000 hours ahead",
    kind: "times",
    file: "gateway/operations/create.ts",
    find: "at > now + READY_AHEAD_MAX_MS",
    replace: "at > now + READY_AHEAD_MAX_MS * 60",
    test: {
      file: "gateway/rest/create.itest.ts",
      name: "is taken up to seven days ahead, and no further",
    },
  },
  {
    name: "a token is believed for five seconds of 1,000 after its end",
    kind: "times",
    file: "proto/limits.ts",
    find: "TOKEN_CLOCK_SKEW_MS = 5_000;",
    replace: "TOKEN_CLOCK_SKEW_MS = 5_000_000;",
    test: {
      file: "gateway/access/auth-keys.test.ts",
      name: "ends when it says, give or take five seconds",
    },
  },
  {
    name: "a known token never ends",
    kind: "times",
    file: "gateway/access/auth.ts",
    find: "if (known.expiresAt > clock.now()) return known;",
    replace: "if (known.expiresAt * 1_000 > clock.now()) return known;",
    test: {
      file: "gateway/access/auth-keys.test.ts",
      name: "ends when it says, give or take five seconds",
    },
  },
  {
    name: "a tracking link opens for 1,000 hours after the end",
    kind: "times",
    file: "gateway/access/policy.ts",
    find: "LINK_AFTER_END_MS);",
    replace: "LINK_AFTER_END_MS * 1_000);",
    test: {
      file: "gateway/access/auth-keys.test.ts",
      name: "opens for an hour after its delivery ended",
    },
  },
];
