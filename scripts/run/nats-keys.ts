// Keys of the NATS server's users: our own processes have one, kept in the state folder; partners'
// are made here and not kept. A key is an nkey: the seed is the private part, the public part is
// what the server's configuration names.

import { nkeys } from "@nats-io/transport-node";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SetupError } from "../services/process.ts";
import { placeOnce, readState, writeWhole } from "./state-file.ts";
import { complain } from "./terminal.ts";

export interface UserKey {
  readonly seed: string;
  readonly publicKey: string;
}

export function newUserKey(): UserKey {
  const pair = nkeys.createUser();
  return { seed: new TextDecoder().decode(pair.getSeed()), publicKey: pair.getPublicKey() };
}

/** The public part of the seed in a file. Throws a SetupError when there is none in it. */
export function publicKeyOf(file: string): string {
  try {
    const seed = readFileSync(file, "utf8").trim();
    return nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey();
  } catch (error) {
    throw new SetupError(`${file} holds no seed of an nkey: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/**
 * The file with our own seed, made at its first use. A damaged one is made anew: it lets in our own
 * processes alone, and the accounts are written with the key that it has. Throws a SetupError when
 * it cannot be read.
 */
export function ownSeedFile(folder: string): string {
  const file = join(folder, "nats-seed");
  const read = readState(file, publicKeyIn);
  if (read.damage === null) return file;
  const text = `${newUserKey().seed}\n`;
  if (read.damage === "unreadable") {
    throw new SetupError(
      `${file} ${read.what}: make it readable, or remove it to have a new one made`,
    );
  }
  // False where another start was quicker: its seed is the one.
  if (read.damage === "missing") placeOnce(file, text, 0o600);
  else {
    writeWhole(file, text, 0o600);
    complain(`${file} ${read.what}: it was made anew`);
  }
  return file;
}

function publicKeyIn(text: string): string | null {
  try {
    return nkeys.fromSeed(new TextEncoder().encode(text.trim())).getPublicKey();
  } catch {
    return null; // No seed: the reader says that the file is damaged.
  }
}

/** Where the accounts stand that `npm start`'s own server includes. */
export const ACCOUNTS_FILE = "accounts.conf";
export const localAccountsFile = (folder: string): string => join(folder, "nats", ACCOUNTS_FILE);

/** In one step, so that a server that reloads never reads half a file. */
export function writeAccounts(file: string, text: string): void {
  writeWhole(file, text);
}

/**
 * Makes sure that the accounts let in our own key. A file without it would let in nobody, and an
 * empty one everybody: it is made anew by `render`, without partners, whom `npm run partner --
 * sync` brings back.
 */
export function ensureAccounts(file: string, ownKey: string, render: () => string): void {
  const isWhole = (text: string): string | null =>
    text.includes(ownKey) && text.trimEnd().endsWith("}") ? text : null;
  const read = readState(file, isWhole);
  if (read.damage === null) return;
  if (read.damage === "unreadable") {
    throw new SetupError(
      `${file} ${read.what}: make it readable, or remove it to have it made anew`,
    );
  }
  writeAccounts(file, render());
  if (read.damage === "missing") return;
  complain(
    `${file} ${read.what} or has another key: it was made anew. Partners come in again after \`npm run -s partner -- sync\``,
  );
}
