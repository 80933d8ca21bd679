import { expect, test } from "vitest";
import { HELP, parseCommand } from "./commands.ts";

test("each command of the help is understood", () => {
  const verbs = HELP.split("\n").map((line) => line.trim().split(/\s+/)[0]);
  expect(verbs).toContain("partition");
  expect(parseCommand("kill node1")).toEqual({ do: "kill", name: "node1" });
  expect(parseCommand("  drain   node2 ")).toEqual({ do: "drain", name: "node2" });
  expect(parseCommand("stop nats1")).toEqual({ do: "stop", name: "nats1" });
  expect(parseCommand("cont nats1")).toEqual({ do: "cont", name: "nats1" });
  expect(parseCommand("start postgres")).toEqual({ do: "start", name: "postgres" });
  expect(parseCommand("heal node1")).toEqual({ do: "heal", name: "node1" });
  expect(parseCommand("add gateway")).toEqual({ do: "add", kind: "gateway" });
  expect(parseCommand("partition node1")).toEqual({ do: "partition", name: "node1", from: "all" });
  expect(parseCommand("partition node1 nats")).toMatchObject({ from: "nats" });
  expect(parseCommand("exit")).toEqual({ do: "quit" });
  expect(parseCommand("")).toEqual({ do: "nothing" });
});

test("what is not understood is refused with a sentence", () => {
  expect(parseCommand("destroy node1")).toBe('"destroy" is not known: try help');
  expect(parseCommand("kill")).toContain("kill whom?");
  expect(parseCommand("kill node1 node2")).toBe("kill takes one name");
  expect(parseCommand("add nats")).toContain("add what?");
  expect(parseCommand("partition node1 moon")).toContain("partition NAME");
  expect(parseCommand("quit now")).toBe("quit stands alone");
});
