import { describe, expect, it } from "vitest";
import { createOf } from "../../engine/store/contract/world.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { wayOfCreate } from "./create-route.ts";

type Says = "ok" | ErrorCode;

/** What each of the two says, attempt by attempt (the last one stays), and where a create went. */
function drive(says: { postgres: Says[]; spool: Says[]; isOpen: boolean[]; wasOpen?: boolean }) {
  const went: string[] = [];
  const next = <T>(list: T[]): T => (list.length > 1 ? list.shift() : list[0]) as T;
  const go = (where: "postgres" | "spool", status: number) => () => {
    went.push(where);
    const said = next(says[where]);
    if (said !== "ok") return Promise.reject(new DispatchError(said));
    return Promise.resolve({ status, body: {}, isReplay: false });
  };
  const earlier = { status: 202, body: "earlier", isReplay: true };
  const isKnown = { value: false };
  const way = wayOfCreate({
    place: go("postgres", 201),
    spool: {
      put: go("spool", 202),
      find: () => {
        went.push("find");
        return Promise.resolve(isKnown.value ? earlier : null);
      },
    },
    circuit: { isOpen: () => next(says.isOpen), wasOpenWithin: () => says.wasOpen ?? false },
  });
  const run = async (command = createOf()): Promise<unknown> => {
    const end = await way(command).then(
      ({ status }) => status,
      (error: unknown) => (error as DispatchError).code,
    );
    return [end, ...went];
  };
  return { run, isKnown };
}

describe("the way of a create", () => {
  it.each([
    ["Postgres is there", ["ok"], ["ok"], [false], [201, "postgres"]],
    ["Postgres is known to be away", ["ok"], ["ok"], [true], [202, "spool"]],
    ["Postgres does not answer", ["unavailable"], ["ok"], [false], [202, "postgres", "spool"]],
    ["both are away", ["unavailable"], ["unavailable"], [true], ["unavailable", "spool"]],
    [
      "Postgres was only slow, and NATS is away",
      ["ok"],
      ["unavailable"],
      [true, false],
      [201, "spool", "postgres"],
    ],
    [
      "Postgres lost one connection, and NATS is away",
      ["unavailable", "ok"],
      ["unavailable"],
      [false],
      [201, "postgres", "spool", "postgres"],
    ],
    [
      "Postgres refuses it",
      ["idempotency_mismatch"],
      ["ok"],
      [false],
      ["idempotency_mismatch", "postgres"],
    ],
    [
      "the spool refuses it",
      ["ok"],
      ["idempotency_mismatch"],
      [true, false],
      ["idempotency_mismatch", "spool"],
    ],
  ] as const)("%s", async (_what, postgres, spool, isOpen, seen) => {
    const says = { postgres: [...postgres], spool: [...spool], isOpen: [...isOpen] };
    expect(await drive(says).run()).toEqual(seen);
  });

  it("D4: after an outage a key is looked for in the spool first", async () => {
    const { run, isKnown } = drive({
      postgres: ["ok"],
      spool: ["ok"],
      isOpen: [false],
      wasOpen: true,
    });
    const idempotency = { principal: "customer:1", key: "key:k", fingerprint: "f" };
    const command = createOf({}, { idempotency });
    isKnown.value = true;
    expect(await run(command)).toEqual([202, "find"]);
    isKnown.value = false;
    expect(await run(command)).toEqual([201, "find", "find", "postgres"]);
  });
});
