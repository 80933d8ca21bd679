// Planted bugs that show only where there is more than one page, batch or bite of something.

import type { Planted } from "./planted-bug.ts";

const KEPT = "engine/store/kept.itest.ts";
const ALL_OF_IT = { file: KEPT, name: "however much is old, all of it goes" };
const EVERY_COURIER = {
  file: "engine/cluster/takeover.test.ts",
  name: "loads every courier and every open delivery of the shard, each once",
};

export const BUGS_OF_ROWS: readonly Planted[] = [
  {
    name: "a takeover loads only the first page of couriers",
    kind: "many rows",
    file: "engine/cluster/takeover.ts",
    find: `    after = page.at(-1)?.courier ?? after;
    isMore = page.length === PAGE_ROWS;`,
    replace: `    after = page.at(-1)?.courier ?? after;
    isMore = false;`,
    test: EVERY_COURIER,
  },
  {
    name: "a takeover loads only the first page of deliveries",
    kind: "many rows",
    file: "engine/cluster/takeover.ts",
    find: `    after = page.at(-1)?.job.id ?? after;
    isMore = page.length === PAGE_ROWS;`,
    replace: `    after = page.at(-1)?.job.id ?? after;
    isMore = false;`,
    test: EVERY_COURIER,
  },
  {
    name: "a full query of the outbox is taken for the last",
    kind: "many rows",
    file: "engine/streams/outbox.ts",
    find: "return rows.length === max;",
    replace: "return rows.length > max;",
    test: {
      file: "engine/streams/outbox.test.ts",
      name: "publishes more than a query holds without a pause",
    },
  },
  {
    name: "of a shard's moves only the first batch is sent",
    kind: "many rows",
    file: "engine/cells/replica.ts",
    find: "for (let from = 0; from < all.length; from += RECORDS_PER_BATCH_MAX) {",
    replace: "for (let from = 0; from < 1; from += RECORDS_PER_BATCH_MAX) {",
    test: { file: "engine/cells/replica.test.ts", name: "sends all couriers of a shard" },
  },
  {
    name: "of the last positions only the first statement is written",
    kind: "many rows",
    file: "engine/store/positions.ts",
    find: "for (let at = 0; at < positions.length; at += POSITIONS_BATCH_MAX_ROWS) {",
    replace: "for (let at = 0; at < 1; at += POSITIONS_BATCH_MAX_ROWS) {",
    test: {
      file: "engine/store/postgres-store.itest.ts",
      writtenIn: "engine/store/contract/lists.ts",
      name: "the last positions of more couriers than a statement holds are all kept",
    },
  },
  {
    name: "housekeeping takes one bite of the keys and is content",
    kind: "many rows",
    file: "engine/node.ts",
    find: "while ((await store.purgeIdempotency(IDEMPOTENCY_KEPT_H)) > 0);",
    replace: "await store.purgeIdempotency(IDEMPOTENCY_KEPT_H);",
    test: ALL_OF_IT,
  },
  {
    name: "housekeeping takes one bite of the tracks and is content",
    kind: "many rows",
    file: "engine/node.ts",
    find: "while ((await store.purgeHistory(TRACKS_KEPT_H)) > 0);",
    replace: "await store.purgeHistory(TRACKS_KEPT_H);",
    test: ALL_OF_IT,
  },
  {
    name: "housekeeping takes one bite of the revocations and is content",
    kind: "many rows",
    file: "engine/node.ts",
    find: "while ((await store.purgeRevocations(REVOCATIONS_KEPT_H)) > 0);",
    replace: "await store.purgeRevocations(REVOCATIONS_KEPT_H);",
    test: ALL_OF_IT,
  },
  {
    name: "housekeeping takes one bite of the tests and is content",
    kind: "many rows",
    file: "engine/node.ts",
    find: "while ((await store.purgeTests(TESTS_KEPT_H)) > 0);",
    replace: "await store.purgeTests(TESTS_KEPT_H);",
    test: ALL_OF_IT,
  },
];
