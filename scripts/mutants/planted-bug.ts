// What a planted bug is: a replacement in one file, small enough to be a slip of the hand, and the
// test that goes red with it.

export type Kind = "many rows" | "two of something" | "times" | "estimates" | "outages";
export type NamedTest = {
  readonly file: string;
  readonly name: string;
  /** Where the name is written, when it is a suite that the file shares with others. */
  readonly writtenIn?: string;
};
export type Planted = {
  readonly name: string;
  readonly kind: Kind;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** Part of the test's own name suffices. */
  readonly test: NamedTest;
};

/** How often its text stands in the text of its file: once, or it cannot be planted. */
export const placesOf = ({ find }: Pick<Planted, "find">, text: string): number =>
  text.split(find).length - 1;

/** Whether a bug is among those that were asked for by a part of its name, file or kind. */
export const isMeant = ({ name, file, kind }: Planted, only: string): boolean =>
  [name, file, kind].some((text) => text.includes(only));
