/**
 * One vector tile (Mapbox Vector Tile 2) of a made-up town, and the two codings that an archive of
 * tiles needs.
 */
import { zxyToTileId } from "pmtiles";

const EXTENT = 4_096;
const [LENGTH_DELIMITED, VARINT] = [2, 0];
const [POINT_LINE, POLYGON] = [2, 3];

/** The number of a tile along the archive's curve. */
export const tileIdOf = (z: number, x: number, y: number): number => zxyToTileId(z, x, y);

export function varints(values: readonly number[]): Uint8Array {
  const bytes: number[] = [];
  for (let value of values) {
    for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
    bytes.push(value);
  }
  return Uint8Array.from(bytes);
}

const field = (no: number, value: Uint8Array | string): Uint8Array => {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([varints([no * 8 + LENGTH_DELIMITED, bytes.length]), bytes]);
};
const number = (no: number, value: number): Uint8Array => varints([no * 8 + VARINT, value]);
const zigzag = (value: number): number => (value < 0 ? -value * 2 - 1 : value * 2);

/** MoveTo the first, LineTo the others, and for a surface ClosePath. */
function geometry(points: readonly (readonly [number, number])[], isClosed: boolean): Uint8Array {
  let [x, y] = [0, 0];
  const steps = points.map(([px, py]) => {
    const step = [zigzag(px - x), zigzag(py - y)];
    [x, y] = [px, py];
    return step;
  });
  const [first = [], ...rest] = steps;
  const line = [9, ...first, rest.length * 8 + 2, ...rest.flat()];
  return varints(isClosed ? [...line, 15] : line);
}

type Shape = {
  readonly kind: string;
  readonly name?: string;
  readonly points: readonly (readonly [number, number])[];
};

function layer(name: string, isSurface: boolean, shapes: readonly Shape[]): Uint8Array {
  const texts = shapes.flatMap((shape) => [shape.kind, shape.name ?? ""]);
  const features = shapes.map(({ points }, i) =>
    field(
      2,
      Buffer.concat([
        field(2, varints([0, i * 2, 1, i * 2 + 1])),
        number(3, isSurface ? POLYGON : POINT_LINE),
        field(4, geometry(points, isSurface)),
      ]),
    ),
  );
  return field(
    3,
    Buffer.concat([
      ...[number(15, 2), field(1, name), ...features, field(3, "kind"), field(3, "name")],
      ...texts.map((text) => field(4, field(1, text))),
      number(5, EXTENT),
    ]),
  );
}

const square = (from: number, to: number): Shape["points"] => [
  ...([[from, from] as const, [to, from] as const] as const),
  ...([[to, to] as const, [from, to] as const] as const),
];
const across = (at: number): Shape["points"] => [[0, at] as const, [EXTENT, at] as const];
const down = (at: number): Shape["points"] => [[at, 0] as const, [at, EXTENT] as const];

/** Land, a park, streets both ways. */
export const streetsTile = (): Uint8Array =>
  Buffer.concat([
    layer("earth", true, [{ kind: "earth", points: square(0, EXTENT) }]),
    layer("landuse", true, [{ kind: "park", points: square(600, 1_300) }]),
    layer("roads", false, [
      { kind: "major_road", name: "Long Street", points: across(2_048) },
      { kind: "major_road", name: "Cross Street", points: down(2_048) },
      ...[400, 1_000, 1_500, 2_700, 3_300].flatMap((at) => [
        { kind: "minor_road", name: "Lane", points: across(at) },
        { kind: "minor_road", name: "Row", points: down(at) },
      ]),
    ]),
  ]);
