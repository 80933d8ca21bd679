/**
 * Distances and H3 cells. This is the one file that calls h3-js, whose functions take (lat, lng)
 * and deal in plain strings; everything else speaks `LngLat` and `CellId`, so that the two orders
 * of coordinates can meet in one place only. Pure: no state, no I/O.
 */
import {
  cellToBoundary,
  cellToLatLng,
  cellToParent,
  gridDisk,
  gridDiskDistances,
  latLngToCell,
} from "h3-js";
import type { Box, LngLat } from "../proto/geo.ts";
import type { CellId } from "../proto/ids.ts";
import { DISPATCH_DEFAULTS } from "../proto/limits.ts";

/** Mean earth radius R1 of the IUGG (WGS 84), metres. */
export const EARTH_RADIUS_M = 6_371_008.8;

export const DEGREE_RAD = Math.PI / 180;

/**
 * Great-circle distance in metres by the haversine formula (R. W. Sinnott, "Virtues of the
 * Haversine", Sky & Telescope 68, 1984), which keeps its precision for points a few metres apart.
 * Against the ellipsoid it is off by at most 0.6 %.
 */
export function distanceM(a: LngLat, b: LngLat): number {
  const sinLat = Math.sin(((b.lat - a.lat) * DEGREE_RAD) / 2);
  const sinLng = Math.sin(((b.lng - a.lng) * DEGREE_RAD) / 2);
  const cosCos = Math.cos(a.lat * DEGREE_RAD) * Math.cos(b.lat * DEGREE_RAD);
  const h = sinLat * sinLat + cosCos * sinLng * sinLng;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** The H3 cell of a point. Throws on coordinates that are not finite; the doors let none in. */
export const cellOf = (p: LngLat, resolution: number = DISPATCH_DEFAULTS.CELL_RESOLUTION): CellId =>
  latLngToCell(p.lat, p.lng, resolution) as CellId;

/** The parent by which a cell is put on a shard, so that neighbours mostly share one. */
export const shardCell = (
  cell: CellId,
  resolution: number = DISPATCH_DEFAULTS.SHARD_RESOLUTION,
): CellId => cellToParent(cell, resolution) as CellId;

/** All cells within `k` steps of `cell`, itself included, in no promised order. */
export const gridDiskCells = (cell: CellId, k: number): CellId[] => gridDisk(cell, k) as CellId[];

/** The cells around `cell` by ring: element i holds those exactly i steps away, 0 to `k`. */
export const ringsAround = (cell: CellId, k: number): CellId[][] =>
  gridDiskDistances(cell, k) as CellId[][];

/** The centre of a cell. */
export function cellCentre(cell: CellId): LngLat {
  const [lat, lng] = cellToLatLng(cell);
  return { lng, lat };
}

/** The corners of a cell in order, not closed; five to ten of them (usually six). */
export const cellCorners = (cell: CellId): LngLat[] =>
  cellToBoundary(cell).map(([lat, lng]) => ({ lng, lat }));

/** Whether a point lies in the box, its border included. */
export const inBox = (p: LngLat, box: Box): boolean =>
  p.lng >= box.west && p.lng <= box.east && p.lat >= box.south && p.lat <= box.north;
