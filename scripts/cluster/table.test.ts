import { expect, test } from "vitest";
import { aligned, shardLines, tableLines } from "./table.ts";
import type { ClusterFacts, ProcessFacts } from "./table.ts";

const node = (name: string, id: string | null, more: Partial<ProcessFacts> = {}): ProcessFacts => ({
  name,
  kind: "node",
  state: "up",
  pid: 7,
  ports: "admin 1",
  isReady: true,
  id,
  shardsOwned: 2,
  connections: null,
  isPartitioned: false,
  ended: null,
  ...more,
});

const facts = (more: Partial<ClusterFacts> = {}): ClusterFacts => ({
  processes: [node("node1", "node_a"), node("node2", "node_b")],
  owners: [0, 1, 2, 3].map((shard) => ({
    shard,
    epoch: shard + 1,
    node: shard < 2 ? "node_a" : "node_b",
  })),
  shards: 4,
  ...more,
});

test("a node's line says what it owns, under which epochs, and for how many it stands by", () => {
  const lines = tableLines(facts());
  expect(lines[1]).toMatch(/^node1 +up +7 +admin 1 +ready +owns 2, epochs 1-2, stands by for 2$/);
  expect(lines.at(-1)).toBe("4 shards, each with an owner");
});

test("shards of a node that is down have no living owner", () => {
  const down = node("node2", null, { state: "down", pid: null, ended: "ended by SIGKILL" });
  const lines = tableLines(facts({ processes: [node("node1", "node_a"), down] }));
  expect(lines[2]).toMatch(/^node2 +down +- .*ended by SIGKILL$/);
  expect(lines.at(-1)).toBe("4 shards, 2 WITHOUT A LIVING OWNER");
});

test("a node that claims more than Postgres knows is seen", () => {
  const lines = tableLines(facts({ processes: [node("node1", "node_a", { shardsOwned: 4 })] }));
  expect(lines[1]).toContain("owns 4 (Postgres: 2)");
});

test("without Postgres the table says so, and who is cut off", () => {
  const cut = node("node1", "node_a", { isPartitioned: true, isReady: false });
  const lines = tableLines(facts({ processes: [cut], owners: null }));
  expect(lines[1]).toMatch(/cut off.*not ready.*owns 2/);
  expect(lines.at(-1)).toBe("4 shards; Postgres does not answer");
});

test("each shard is listed with owner, epoch and standby", () => {
  const text = shardLines(facts()).join("\n");
  expect(text).toContain("0: node1@1 (node2)");
  expect(text).toContain("3: node2@4 (node1)");
});

test("columns are as wide as their widest entry", () => {
  expect(
    aligned([
      ["a", "b"],
      ["ccc", "d"],
    ]),
  ).toEqual(["a    b", "ccc  d"]);
});
