// Keys of the NATS server's users: our own processes have one, kept in the state folder; partners'
// are made here and not kept. A key is an nkey: the seed is the private part, the public part is
// what the server's configuration names.

import { nkeys } from "@nats-io/transport-node";
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, unlinkSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { SetupError } from "../services/process.ts";

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

/** The file with our own seed, made at its first use. */
export function ownSeedFile(folder: string): string {
  const file = join(folder, "nats-seed");
  if (existsSync(file)) return file;
  const half = `${file}.${process.pid}`;
  writeFileSync(half, `${newUserKey().seed}\n`, { mode: 0o600 });
  try {
    linkSync(half, file);
  } catch (error) {
    // Another start was quicker: its seed is the one.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    unlinkSync(half);
  }
  return file;
}

/** Where the accounts stand that `npm start`'s own server includes. */
export const ACCOUNTS_FILE = "accounts.conf";
export const localAccountsFile = (folder: string): string => join(folder, "nats", ACCOUNTS_FILE);

/** In one step, so that a server that reloads never reads half a file. */
export function writeAccounts(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const half = `${file}.${process.pid}`;
  writeFileSync(half, text);
  renameSync(half, file);
}
