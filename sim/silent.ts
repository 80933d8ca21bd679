/**
 * What production code tells operators, in the simulator: metrics that count nothing, and a log
 * that goes to the history.
 */
import type { Log } from "../engine/io/log.ts";
import type { History } from "./history.ts";

/**
 * Stands for any counter, gauge, histogram or table of them: whatever is asked of it gives itself
 * again.
 */
// oxlint-disable-next-line typescript/no-explicit-any -- it is meant to fit everywhere
const nothing: any = new Proxy(() => undefined, {
  get: (_, name) => (name === "then" || typeof name === "symbol" ? undefined : nothing),
  apply: () => nothing,
});

export const silentMeters = <T>(): T => nothing as T;

/** Words of production code for a fault of its own: nothing outside may cause them. */
const OWN_FAULTS = new Set([
  "actor: threw",
  "actor: unanswered",
  "a create was buried",
  "a frame failed",
  "a hello failed",
  "frames from a node could not be read",
]);

type Write = (fields: Readonly<Record<string, unknown>> | string, text?: string) => void;

/** A log of one process. */
export function simLog(history: History, who: string): Log {
  const write =
    (level: string): Write =>
    (fields, text) => {
      const words = typeof fields === "string" ? fields : (text ?? "");
      const { stack, ...rest } = typeof fields === "string" ? { stack: undefined } : fields;
      const details = typeof fields === "string" ? "" : ` ${JSON.stringify(rest)}`;
      history.line(who, `${level} ${words}${details}`);
      if (!OWN_FAULTS.has(words) && (level !== "error" || stack === undefined)) return;
      const id = (rest as { id?: unknown }).id;
      history.violate(
        "P",
        `${who} says: ${words}${details} ${typeof stack === "string" ? stack : ""}`,
        [String(id)],
      );
    };
  const levels = ["trace", "debug", "info", "warn", "error", "fatal"];
  const log: Record<string, unknown> = Object.fromEntries(levels.map((l) => [l, write(l)]));
  log["child"] = () => log;
  log["level"] = "info";
  return log as unknown as Log;
}
