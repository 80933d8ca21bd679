/**
 * What the frames of a verified session do. Requests (with a `ref`) are answered by `ok` or `error`; the functions behind
 * them are those of REST. A courier is who its token says: frames carry no courier id.
 */
import { errorFields } from "../engine/io/log.ts";
import { OutageLog } from "../engine/io/outage-log.ts";
import { DispatchError, ERRORS } from "../proto/errors.ts";
import { serverFrames } from "../proto/frames.ts";
import type { ClientFrame, ClientFrameOf } from "../proto/frames.ts";
import type { CourierId } from "../proto/ids.ts";
import { isLine } from "../proto/text.ts";
import type { Commands } from "./commands.ts";
import type { RequestKind } from "./admission.ts";
import type { Deps } from "./deps.ts";
import type { Doorkeeper } from "./doorkeeper.ts";
import type { FanOut } from "./fan-out.ts";
import type { Ingest } from "./ingest.ts";
import type { Link } from "./link.ts";
import { isCarried, mayTry } from "./policy.ts";
import { asDispatchError, fieldProblem } from "./problem.ts";
import type { Tracking } from "./tracking.ts";
import { assignmentView } from "./views.ts";

export type FrameParts = {
  readonly deps: Pick<Deps, "clock" | "log">;
  readonly doorkeeper: Pick<Doorkeeper, "admit" | "during">;
  readonly commands: Commands;
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
  const { deps } = parts;
  const outages = new OutageLog(deps.log, deps.clock);
  const refuse = (link: Link, frame: ClientFrame, error: unknown): void => {
    const known = asDispatchError(error);
    if (known.code === "unavailable" && known.cause !== undefined) {
      outages.tell(known, { frame: frame.type }, "a frame was refused");
    }
    if (known.code === "internal") {
      const stack = error instanceof Error ? error.stack : undefined;
      deps.log.error({ frame: frame.type, ...errorFields(error), stack }, "a frame failed");
    }
    if (link.isOpen()) link.send(errorFrame(known, "ref" in frame ? frame.ref : null));
  };
  return (link, frame) => {
    serve(parts, link, frame).catch((error: unknown) => refuse(link, frame, error));
  };
}

/** What is refused when there is too much to do. Pings and goodbyes cost less than their refusal. */
const KINDS: { readonly [T in ClientFrame["type"]]: RequestKind | null } = {
  hello: null,
  ping: null,
  pings: null,
  untrack: null,
  seen: null,
  track: "read",
  shift: "command",
  accept: "command",
  decline: "command",
  status: "command",
};

async function serve(parts: FrameParts, link: Link, frame: ClientFrame): Promise<void> {
  const kind = KINDS[frame.type];
  if (kind === null) return act(parts, link, frame);
  parts.doorkeeper.admit(kind);
  return parts.doorkeeper.during(() => act(parts, link, frame));
}

/** The rejection is the answer. The synchronous part runs at once, so that pings keep their order. */
async function act(parts: FrameParts, link: Link, frame: ClientFrame): Promise<void> {
  switch (frame.type) {
    case "ping":
    case "pings":
      return takePings(parts, link, frame);
    case "shift": {
      const online = await parts.commands.shift(courierOf(link), frame.online);
      return ok(link, frame.ref, { online });
    }
    case "accept":
      return accept(parts, link, frame);
    case "decline":
      mayTry(link.principal, "decline");
      checkReason(frame.reason);
      await parts.commands.decline(courierOf(link), frame.delivery, frame.reason);
      return ok(link, frame.ref, null);
    case "status": {
      mayTry(link.principal, "report");
      const { status, at: claimedAt, reason } = frame;
      checkReason(reason);
      const report = { status, claimedAt, reason };
      await parts.commands.status(courierOf(link), frame.delivery, report);
      return ok(link, frame.ref, null);
    }
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
      throw new DispatchError("bad_request");
  }
}

/** The same rule as over REST (`schemas.ts`). Throws `invalid_field`. */
function checkReason(reason: string | null): void {
  if (reason === null || isLine(reason)) return;
  throw fieldProblem("/reason", "invalid_field", "must be one line of plain text");
}

function courierOf(link: Link): CourierId {
  if (link.principal.role !== "courier") throw new DispatchError("forbidden");
  return link.principal.subject;
}

function ok(link: Link, ref: number, result: object | null): void {
  if (link.isOpen()) link.send({ type: "ok", ref, result });
}

async function accept(
  { commands }: FrameParts,
  link: Link,
  frame: ClientFrameOf<"accept">,
): Promise<void> {
  mayTry(link.principal, "accept");
  const row = await commands.accept(courierOf(link), frame.delivery);
  const assignment = assignmentView(row);
  const { assigned_at } = assignment;
  if (!link.isOpen()) return;
  link.send({ type: "ok", ref: frame.ref, result: { accepted: true, assigned_at } });
  // The repeat of an accept whose delivery has ended brings back no phones and addresses.
  if (isCarried(row.status)) link.send({ type: "assignment", assignment });
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
