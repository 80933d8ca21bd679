/**
 * What sockets are told of their way back, should this gateway die and say nothing: come at a
 * random moment within so long, so that no more come in a second than a gateway can welcome. That
 * grows with the number of sockets, and whoever came when there were few was told little: he is
 * told again. Otherwise most of ten thousand would come in the first two seconds.
 */
import type { SessionId } from "../../proto/ids.ts";
import {
  COME_BACK_SOCKETS_PER_S,
  COME_BACK_WITHIN_MAX_MS,
  COURIER_COME_BACK_WITHIN_MAX_MS,
} from "../../proto/limits.ts";
import type { Connection } from "./connection.ts";
import type { Principal } from "../base/principal.ts";

/**
 * Told again once it should be so much longer, by the factor and by as much as anybody would
 * notice.
 */
const LONGER_BY = 1.5;
const LONGER_BY_MIN_MS = 250;
/** Sockets told again at one look around: each is a write to the kernel. */
const BATCH_SOCKETS = 500;

/** For one of `sockets`, milliseconds. Couriers come first: offers wait for them. */
export function comeBackWithinMs(sockets: number, role: Principal["role"]): number {
  const maxMs = role === "courier" ? COURIER_COME_BACK_WITHIN_MAX_MS : COME_BACK_WITHIN_MAX_MS;
  return Math.min(maxMs, Math.ceil((sockets / COME_BACK_SOCKETS_PER_S) * 1_000));
}

export class ReconnectSpread {
  readonly #all: ReadonlyMap<SessionId, Connection>;
  /** With so many sockets all were told what is right, about. */
  #toldAll = 1;

  constructor(all: ReadonlyMap<SessionId, Connection>) {
    this.#all = all;
  }

  /** For the welcome of a connection, and remembered. */
  told(connection: Connection, role: Principal["role"]): number {
    connection.comeBackWithinMs = comeBackWithinMs(this.#all.size, role);
    return connection.comeBackWithinMs;
  }

  /** Tells some of those again for whom it has become too little. Call it now and then. */
  look(): void {
    const { size } = this.#all;
    this.#toldAll = Math.max(1, Math.min(this.#toldAll, size));
    if (size < this.#toldAll * LONGER_BY) return;
    let count = 0;
    for (const connection of this.#all.values()) {
      const { link, comeBackWithinMs: before } = connection;
      if (link === null || before === null) continue;
      const withinMs = comeBackWithinMs(size, link.principal.role);
      if (withinMs < Math.max(before * LONGER_BY, before + LONGER_BY_MIN_MS)) continue;
      if (count++ === BATCH_SOCKETS) return;
      connection.comeBackWithinMs = withinMs;
      link.send({ type: "come_back", withinMs });
    }
    this.#toldAll = size;
  }
}
