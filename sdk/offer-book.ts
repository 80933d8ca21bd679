/**
 * Offers as this device knows them: which are open, and whether the numbered stream of offers and
 * their ends came whole. A stream has an epoch and numbers that rise by one; older ones and repeats
 * are dropped, a jump says honestly that something was lost. After a reconnect the server shows
 * every offer that is still open again; one that it does not show within a moment has ended
 * meanwhile. Pure bookkeeping.
 */
import type { ServerFrameOf } from "../proto/frames.ts";

export type Offer = Omit<ServerFrameOf<"offer">, "type" | "epoch" | "number">;

/**
 * A frame of the stream, held against what came before. `missed`: numbers that never came; null:
 * not known.
 */
type Arrival = { readonly isNews: boolean; readonly missed: number | null };

export class OfferBook {
  readonly #offers = new Map<string, Offer & { readonly endsAt: number }>();
  readonly #unconfirmed = new Set<string>();
  #epoch = 0;
  #number = -1;

  /** Takes note of a frame's place in the stream. */
  arrived({ epoch, number }: { readonly epoch: number; readonly number: number }): Arrival {
    if (epoch < this.#epoch) return { isNews: false, missed: 0 };
    if (epoch === this.#epoch && number <= this.#number) return { isNews: false, missed: 0 };
    const isFirst = this.#number < 0;
    // Another owner counts from the start again: what the old one still said is not known.
    const missed = isFirst ? 0 : epoch > this.#epoch ? null : number - this.#number - 1;
    this.#epoch = epoch;
    this.#number = number;
    return { isNews: true, missed };
  }

  /** An offer is shown. False when it is one that is known already. */
  add(offer: Offer, now: number): boolean {
    const known = (this.#offers.get(offer.delivery)?.endsAt ?? 0) > now;
    this.#unconfirmed.delete(offer.delivery);
    this.#offers.set(offer.delivery, { ...offer, endsAt: now + offer.ttlMs });
    return !known;
  }

  remove(delivery: string): void {
    this.#offers.delete(delivery);
    this.#unconfirmed.delete(delivery);
  }

  /** A new connection: what is open has to be shown again. */
  doubtAll(): void {
    for (const id of this.#offers.keys()) this.#unconfirmed.add(id);
  }

  /** Ends what was not shown again, and gives it. */
  dropDoubted(): Offer[] {
    const dropped: Offer[] = [];
    for (const id of this.#unconfirmed) {
      const offer = this.#offers.get(id);
      if (offer !== undefined) dropped.push(offer);
      this.#offers.delete(id);
    }
    this.#unconfirmed.clear();
    return dropped;
  }

  /** Those that are still open by this device's clock. */
  open(now: number): Offer[] {
    for (const [id, offer] of this.#offers) if (offer.endsAt <= now) this.remove(id);
    return [...this.#offers.values()];
  }
}
