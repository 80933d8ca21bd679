/**
 * What the frames of a verified session do. Requests (with a `ref`) are answered by `ok` or
 * `error`; the functions behind them are those of REST. A courier is who its token says: frames
 * carry no courier id.
 */
import { DispatchError, ERRORS } from "../../proto/errors.ts";
import { serverFrames } from "../../proto/frames.ts";
import type { ClientFrame, ClientFrameOf } from "../../proto/frames.ts";
import type { CourierId } from "../../proto/ids.ts";
import type { Deps } from "../base/deps.ts";
import type { FanOut } from "../follow/fan-out.ts";
import type { Ingest } from "../backend/ping-ingest.ts";
import type { Link } from "../base/link.ts";
import { nowUs } from "../base/now-us.ts";
import type { OperationRunner } from "../operations/run.ts";
import type { OperationName } from "../operations/table.ts";
import { isCarried, mayTry } from "../access/policy.ts";
import type { Tracking } from "../follow/tracking.ts";
import { assignmentView } from "../views/delivery-view.ts";

export type FrameParts = {
  readonly deps: Pick<Deps, "clock">;
  readonly runner: Pick<OperationRunner, "run" | "admit" | "refused">;
  readonly ingest: Ingest;
  readonly tracking: Tracking;
  readonly fanOut: Pick<FanOut, "caughtUp">;
};

/** Serves one frame. Never throws; what goes wrong is told to the client. */
export type ServeFrame = (link: Link, frame: ClientFrame) => void;

/** `pointer` is null: a frame that decodes has no single bad field. */
export function errorFrame(error: DispatchError, ref: number | null) {
  const { code, message, retryAfterS, errors } = error;
  const text = code === "internal" ? ERRORS.internal.text : message.slice(0, 500);
  const pointer = errors[0]?.pointer.slice(0, 200) ?? null;
  return { type: "error", ref, code, text, retryAfterS, pointer } as const;
}

export function createFrameService(parts: FrameParts): ServeFrame {
  const refuse = (link: Link, frame: ClientFrame, error: unknown): void => {
    // What the runner refused it has counted and logged already.
    const known =
      error instanceof DispatchError ? error : parts.runner.refused(`socket_${frame.type}`, error);
    if (link.isOpen()) link.send(errorFrame(known, "ref" in frame ? frame.ref : null));
  };
  return (link, frame) => {
    serve(parts, link, frame).catch((error: unknown) => refuse(link, frame, error));
  };
}

/** A frame bound to an operation of the table. */
type Bound = {
  readonly ref: number;
  readonly type: ClientFrame["type"];
  readonly operation: OperationName;
  readonly id: string;
  readonly body: unknown;
};

/** Binds frames to operations: what each asks for, in the words of the table; null for none. */
function operationOf(frame: ClientFrame): Bound | null {
  switch (frame.type) {
    case "shift":
      return bound("setShift", frame, "", { online: frame.online });
    case "accept":
      return bound("acceptDelivery", frame, frame.delivery, {});
    case "decline":
      return bound("declineDelivery", frame, frame.delivery, given({ reason: frame.reason }));
    case "status": {
      const { status, reason, at } = frame;
      const timestamp = at === null ? null : claimOf(at);
      return bound("reportStatus", frame, frame.delivery, {
        status,
        ...given({ reason, timestamp }),
      });
    }
    default:
      return null;
  }
}

const bound = (
  operation: OperationName,
  { ref, type }: { readonly ref: number; readonly type: ClientFrame["type"] },
  id: string,
  body: unknown,
): Bound => ({ ref, type, operation, id, body });

/** A phone's own time as a body says it; what is no date is left for the schema to refuse. */
const claimOf = (at: number): string =>
  Math.abs(at) <= DATE_MAX_MS ? new Date(at).toISOString() : String(at);
/** The largest time that a Date can hold (ECMA-262, 21.4.1.1). */
const DATE_MAX_MS = 8.64e15;

/** On the wire an absent field is null or empty; in a body it is not there. */
const given = (fields: Readonly<Record<string, unknown>>): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== ""));

async function run({ runner }: FrameParts, link: Link, command: Bound): Promise<void> {
  const { operation, id, body, ref, type } = command;
  const outcome = await runner.run(operation, {
    label: `socket_${type}`,
    instance: "/v1/socket",
    principal: () => Promise.resolve(link.principal),
    input: () => ({ id, body, query: null, bytes: NO_BYTES }),
    key: undefined,
    receivedAtUs: nowUs(),
  });
  ok(link, ref, RESULTLESS.has(operation) ? null : (outcome.body as object));
  const row = outcome.delivery;
  // The repeat of an accept whose delivery has ended brings back no phones and addresses.
  if (row === undefined || !isCarried(row.status) || !link.isOpen()) return;
  link.send({ type: "assignment", assignment: assignmentView(row) });
}

/** Their success has no more to say than that. */
const RESULTLESS: ReadonlySet<OperationName> = new Set(["declineDelivery", "reportStatus"]);
const NO_BYTES = new Uint8Array(0);

async function serve(parts: FrameParts, link: Link, frame: ClientFrame): Promise<void> {
  const command = operationOf(frame);
  if (command !== null) return run(parts, link, command);
  if (frame.type === "track") parts.runner.admit("read");
  return act(parts, link, frame);
}

/**
 * The rejection is the answer. The synchronous part runs at once, so that pings keep their order.
 */
async function act(parts: FrameParts, link: Link, frame: ClientFrame): Promise<void> {
  switch (frame.type) {
    case "ping":
    case "pings":
      return takePings(parts, link, frame);
    case "track":
      mayTry(link.principal, "follow");
      return parts.tracking.track(link, frame.delivery, frame.ref, frame.after);
    case "untrack":
      parts.tracking.untrack(link.id, frame.delivery);
      return ok(link, frame.ref, null);
    case "seen": {
      const watcher = parts.tracking.seen(link.id, frame.frames);
      if (watcher !== null) parts.fanOut.caughtUp(watcher);
      return;
    }
    case "hello":
    case "shift":
    case "accept":
    case "decline":
    case "status":
      throw new DispatchError("bad_request");
  }
}

function courierOf(link: Link): CourierId {
  if (link.principal.role !== "courier") throw new DispatchError("forbidden");
  return link.principal.subject;
}

function ok(link: Link, ref: number, result: object | null): void {
  if (link.isOpen()) link.send({ type: "ok", ref, result });
}

function takePings(
  { ingest, deps }: FrameParts,
  link: Link,
  frame: ClientFrameOf<"ping"> | ClientFrameOf<"pings">,
): void {
  const courier = courierOf(link);
  const receivedAt = deps.clock.now();
  const session = link.id;
  const waitS =
    frame.type === "ping"
      ? ingest.take({ courier, session, ping: frame, newest: true, receivedAt })
      : ingest.takeAll(courier, session, frame.pings, receivedAt);
  if (waitS === 0) return;
  // Not acknowledged, so the app sends them again; a reader that is behind need not hear it twice.
  const error = new DispatchError("rate_limited", undefined, { retryAfterS: waitS });
  link.offer(serverFrames.encode(errorFrame(error, null)));
}
