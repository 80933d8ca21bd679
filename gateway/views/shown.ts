/**
 * What the followers of a delivery are shown: one view for each audience, and its frame once
 * somebody needs it.
 */
import type { Millis } from "../../proto/ids.ts";
import type { DeliveryView } from "../../proto/views.ts";

/** A view, with what is compared for each follower, and its frame once somebody needs it. */
export type Shown = {
  readonly view: DeliveryView;
  readonly arrivalAt: Millis;
  readonly positionAt: Millis;
  bytes: Uint8Array | null;
};

export function shownOf(view: DeliveryView): Shown {
  const { estimated_arrival: arrival, courier_location: location } = view;
  const arrivalAt = arrival === null ? 0 : Date.parse(arrival);
  const positionAt = location === null ? 0 : Date.parse(location.updated_at);
  return { view, arrivalAt, positionAt, bytes: null };
}
