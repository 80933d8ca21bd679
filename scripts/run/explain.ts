// Failures in words. What a person can mend (a full disk, a folder without permission, a server
// that does not answer) is one line; what is our own fault keeps its stack.

import { ConfigError } from "../../engine/config.ts";
import { SetupError } from "../services/process.ts";

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "no permission",
  EPERM: "no permission",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EISDIR: "there is a folder in its place",
  ENOTDIR: "there is a file in the place of a folder",
  EEXIST: "there is a file in the place of a folder",
  EMFILE: "too many files are open",
  ENFILE: "too many files are open on this machine",
  EIO: "the disk does not answer",
};

/** Why a file operation failed, in a few words. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return REASONS[code ?? ""] ?? message;
}

/** What is shown of a failure that ends a script. */
export function explain(error: unknown): string {
  if (error instanceof SetupError || error instanceof ConfigError) return error.message;
  if (!(error instanceof Error)) return String(error);
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  const isOfFiles = syscall !== undefined && REASONS[code ?? ""] !== undefined;
  if (isOfFiles) return `${path ?? syscall}: ${reasonOf(error)} (${code}, ${syscall})`;
  return error.stack ?? error.message;
}
