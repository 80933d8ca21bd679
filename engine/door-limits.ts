/** What a gateway's doors take from one caller: settings with their defaults. */
/**
 * Bounds of one gateway against one caller; 0: none. An address on the machine itself has no bounds
 * by address.
 */
export type DoorLimits = {
  readonly requestsPerPrincipalPerS: number;
  readonly requestsPerAddressPerS: number;
  readonly socketsMax: number;
  readonly socketsPerPrincipalMax: number;
  readonly socketsPerAddressMax: number;
  readonly welcomesPerCourierPerS: number;
};

export const DOOR_DEFAULTS: DoorLimits = Object.freeze({
  requestsPerPrincipalPerS: 1_000,
  requestsPerAddressPerS: 2_000,
  socketsMax: 0,
  socketsPerPrincipalMax: 1_000,
  socketsPerAddressMax: 2_000,
  welcomesPerCourierPerS: 2,
});
