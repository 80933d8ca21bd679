/**
 * Where the couriers and pickups of `dispatch.ts` lie, degrees: about 6 by 7 km of San Francisco.
 */
export const BOX = { west: -122.46, south: 37.74, east: -122.39, north: 37.8 } as const;
