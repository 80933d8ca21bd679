/**
 * How many sockets one address and one principal may have open at a gateway, and all together.
 * Beyond it an address is refused before the upgrade and a principal at its hello; both may come
 * back later. Who sits on this very machine has no cap by address: a proxy in front is told by its
 * setting (`engine/client-address.ts`), a test or a bench is one address.
 */
import { isLoopback } from "../../engine/client-address.ts";
import type { Millis } from "../../proto/ids.ts";
import { RateLimit } from "./rate-limit.ts";
import { nameOf } from "../base/principal.ts";
import type { Principal } from "../base/principal.ts";

/** 0: no cap. */
export type SocketLimits = {
  readonly all: number;
  readonly perAddress: number;
  readonly perPrincipal: number;
  readonly welcomesPerCourierPerS: number;
};

/**
 * At once after a rest, in seconds of the rate: a phone in a tunnel comes back often, a loop more
 * often.
 */
const WELCOMES_BURST_S = 10;

export class SocketCaps {
  readonly #limits: SocketLimits;
  // As many entries as there are sockets, never more: each is counted down to nothing and removed.
  readonly #byAddress = new Map<string, number>();
  readonly #byPrincipal = new Map<string, number>();
  readonly #welcomes: RateLimit;
  #all = 0;

  constructor(limits: SocketLimits) {
    this.#limits = limits;
    const { welcomesPerCourierPerS: ratePerS } = limits;
    this.#welcomes = new RateLimit({ ratePerS, burst: ratePerS * WELCOMES_BURST_S });
  }

  /** Why a socket from that address is not let in; null when it is. */
  refusal(address: string): "all" | "address" | null {
    const { all, perAddress } = this.#limits;
    if (all > 0 && this.#all >= all) return "all";
    if (perAddress === 0 || isLoopback(address)) return null;
    return (this.#byAddress.get(address) ?? 0) >= perAddress ? "address" : null;
  }

  opened(address: string): void {
    this.#all++;
    change(this.#byAddress, address, 1);
  }

  closed(address: string): void {
    this.#all--;
    change(this.#byAddress, address, -1);
  }

  /**
   * Too many of its sockets are open, or a courier comes back again and again: each welcome is two
   * reads and a message.
   */
  refuses(principal: Principal, now: Millis): boolean {
    const isCourier = principal.role === "courier" && this.#limits.welcomesPerCourierPerS > 0;
    if (isCourier && this.#welcomes.take(principal.subject, now) > 0) return true;
    const { perPrincipal } = this.#limits;
    return perPrincipal > 0 && (this.#byPrincipal.get(nameOf(principal)) ?? 0) >= perPrincipal;
  }

  enter(principal: Principal): void {
    change(this.#byPrincipal, nameOf(principal), 1);
  }

  leave(principal: Principal): void {
    change(this.#byPrincipal, nameOf(principal), -1);
  }
}

function change(counts: Map<string, number>, name: string, by: 1 | -1): void {
  const count = (counts.get(name) ?? 0) + by;
  if (count > 0) counts.set(name, count);
  else counts.delete(name);
}
