/**
 * The implementations of the public listener by their names in HEXDISPATCH_LISTENER. A library that
 * is not chosen is not loaded: there may be no binary of it for this machine.
 */
import type { ListenerKind } from "../../engine/config.ts";
import type { Listen } from "./listener.ts";

export async function listenerOf(kind: ListenerKind): Promise<Listen> {
  return kind === "uws"
    ? (await import("./uws-listener.ts")).listen
    : (await import("./node-listener.ts")).listen;
}
