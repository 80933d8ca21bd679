/**
 * Which way a create goes: to Postgres, or while that is away to the intake, where a worker commits
 * it later. Each of the two may fail without saying whether it was done; the other then takes the
 * very same command, with the same id, and so changes nothing the second time.
 */
import { isOutage } from "../../engine/io/postgres/verdict.ts";
import type { CreateCommand } from "../../engine/store/port.ts";
import type { Circuit } from "../backend/postgres-circuit.ts";
import type { CreateAnswer } from "./create.ts";
import type { Spool } from "./spool.ts";

/**
 * So long after Postgres came back a key is looked for in the intake first: its create may lie
 * there still, and has an answer. Meanwhile creates go straight to Postgres and may overtake those.
 */
const CATCH_UP_MS = 300_000;

export type CreateWays = {
  /** Commits it in Postgres and tells whom it concerns. */
  readonly place: (command: CreateCommand) => Promise<CreateAnswer>;
  readonly spool: Pick<Spool, "put" | "find">;
  readonly circuit: Pick<Circuit, "isOpen" | "wasOpenWithin">;
};

/**
 * Rejects with `unavailable` when neither has it for certain, and with what `place` and `put`
 * refuse.
 */
export function wayOfCreate({ place, spool, circuit }: CreateWays): CreateWays["place"] {
  /**
   * When the intake is away as well, Postgres may be back, or was only slow to answer the circuit.
   */
  const takeIn = async (command: CreateCommand): Promise<CreateAnswer> => {
    try {
      return await spool.put(command);
    } catch (error) {
      if (!isOutage(error) || circuit.isOpen()) throw error;
      return place(command);
    }
  };
  return async (command) => {
    if (circuit.isOpen()) return takeIn(command);
    if (command.idempotency !== null && circuit.wasOpenWithin(CATCH_UP_MS)) {
      const earlier = await spool.find(command.job.owner, command.job.id);
      if (earlier !== null) return earlier;
    }
    try {
      return await place(command);
    } catch (error) {
      // What the database has refused is not acknowledged: the intake could never commit it.
      if (!isOutage(error)) throw error;
      return takeIn(command);
    }
  };
}
