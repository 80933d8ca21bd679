/**
 * What a process shows of itself at each connect. A file of credentials is read anew each time, so
 * that a new key is taken without a restart. The client of NATS closes for good when an
 * authenticator throws: one that cannot be read (gone, or half written while keys are exchanged) is
 * reported, and the last that could be read is shown in its place.
 */
import {
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-node";
import type { Auth, Authenticator } from "@nats-io/transport-node";
import { readFileSync } from "node:fs";
import type { NatsLogin } from "./address.ts";

/** A nonce as long as the server's, to try a key before one is sent. */
const TRIAL_NONCE = "AAAAAAAAAAAAAAA";

/** The file cannot be read, or holds no key. The message names the file and no content. */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";
}

/**
 * The authenticator of a file as it is now: an nkey's seed or a .creds file. Throws
 * CredentialsError.
 */
export function readCredentials(file: string): Authenticator {
  try {
    const text = readFileSync(file, "utf8").trim();
    const bytes = new TextEncoder().encode(text);
    const isJwt = text.includes("BEGIN NATS USER JWT");
    const authenticator = isJwt ? credsAuthenticator(bytes) : nkeyAuthenticator(bytes);
    authenticator(TRIAL_NONCE);
    if (text === "") throw new Error("it is empty");
    return authenticator;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Texts of the key library may repeat what they could not read.
    const why = code?.startsWith("E") && error instanceof Error ? message : "no key or half of one";
    throw new CredentialsError(`the credentials file ${file} cannot be used: ${why}`, {
      cause: code === undefined ? undefined : error,
    });
  }
}

/** Reads the file at each connect. Never throws; `onUnreadable` hears why an older key is shown. */
export function fileAuthenticator(
  file: string,
  onUnreadable: (error: CredentialsError) => void,
): Authenticator {
  let last: Authenticator = () => undefined as unknown as Auth;
  return (nonce) => {
    try {
      last = readCredentials(file);
    } catch (error) {
      onUnreadable(error as CredentialsError);
    }
    return last(nonce);
  };
}

/** The authenticator of a login in the URL. */
export const loginAuthenticator = (login: NatsLogin): Authenticator =>
  login.kind === "token"
    ? tokenAuthenticator(login.token)
    : usernamePasswordAuthenticator(login.user, login.password);
