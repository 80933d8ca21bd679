// The types of bootstrap.mjs, which stays plain JavaScript so that it runs before anything is
// installed. Only what TypeScript files (tests) import is declared.

interface Lock {
  readonly packages: Readonly<
    Record<string, { version?: string; integrity?: string; optional?: boolean }>
  >;
}

export const root: string;
export class SetupError extends Error {}
export function satisfies(version: string, range: string): boolean;
export function checkNode(version?: string): void;
export function outdatedPackages(lock: Lock, installed: Lock): string[];
