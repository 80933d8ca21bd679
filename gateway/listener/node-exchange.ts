/**
 * One request on `node:http` and the way to answer it. It owns the reading of the body up to a cap,
 * the one answer, and what an answer says about its connection; whose turn it is on the connection
 * is `http-connection.ts`.
 */
import { STATUS_CODES } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { DispatchError } from "../../proto/errors.ts";
import { BODY_MAX_BYTES } from "../../proto/limits.ts";
import { BODYLESS, LINE_BREAK } from "./answers.ts";
import type { Body, HttpExchange } from "./listener.ts";
import { nowUs } from "../base/now-us.ts";
import type { Head, Headers, Refusal } from "./request-head.ts";

/** What an exchange needs of its connection. */
export type ExchangeHome = {
  /** Whether the connection ends with the next answer. */
  mustClose(): boolean;
  /** An answer is on its way; `closes`: it is the last of its connection. */
  answered(bytes: number, closes: boolean): void;
};

const NO_BYTES = new Uint8Array(0);

export class NodeExchange implements HttpExchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Headers;
  readonly remoteAddress: string;
  readonly receivedAtUs = nowUs();
  readonly request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #home: ExchangeHome;
  readonly #isContinueAwaited: boolean;
  #isOver = false;
  /** Why the rest of the body will never come. */
  #broken: DispatchError | null = null;
  #onBroken: ((error: DispatchError) => void) | null = null;

  constructor(
    home: ExchangeHome,
    request: IncomingMessage,
    response: ServerResponse,
    head: Head,
    remoteAddress: string,
  ) {
    this.#home = home;
    this.request = request;
    this.#response = response;
    this.method = request.method ?? "";
    this.path = head.path;
    this.query = head.query;
    this.headers = head.headers;
    this.remoteAddress = remoteAddress;
    this.#isContinueAwaited = head.headers["expect"] !== undefined && request.httpVersion === "1.1";
  }

  readBody(capBytes: number): Promise<Uint8Array> {
    if (this.#broken !== null) return Promise.reject(this.#broken);
    const announced = Number(this.headers["content-length"] ?? 0);
    if (announced > capBytes) return Promise.reject(new DispatchError("payload_too_large"));
    const hasBody = announced > 0 || this.headers["transfer-encoding"] !== undefined;
    if (!hasBody) return Promise.resolve(NO_BYTES);
    if (this.#isContinueAwaited) this.#response.writeContinue();
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let size = 0;
      this.#onBroken = reject;
      // A connection that broke is told by the connection itself.
      this.request.on("error", () => undefined);
      this.request.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= capBytes) {
          chunks.push(chunk);
          return;
        }
        chunks.length = 0;
        reject(new DispatchError("payload_too_large"));
      });
      this.request.on("end", () => {
        resolve(chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks));
      });
    });
  }

  respond(status: number, headers: Readonly<Record<string, string>>, body: Body | null): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    const content = BODYLESS.has(status) ? null : (body ?? "");
    const length = content === null ? 0 : Buffer.byteLength(content);
    const fields: string[] = [];
    for (const name in headers) {
      if (name === "connection") continue;
      const value = headers[name] as string;
      fields.push(name, LINE_BREAK.test(value) ? "" : value);
    }
    if (content !== null) fields.push("Content-Length", String(length));
    const closes = status === 413 || headers["connection"] === "close" || this.#endsConnection();
    if (closes) fields.push("Connection", "close");
    const response = this.#response;
    response.writeHead(status, STATUS_CODES[status] ?? "Status", fields);
    if (content === null || this.method === "HEAD") response.end();
    else response.end(content);
    this.#home.answered(length, closes);
    return true;
  }

  /** The rest of the body never comes, or nobody is there any more. */
  breakOff(error: DispatchError): void {
    this.#broken ??= error;
    this.#onBroken?.(error);
  }

  /** The connection is gone: nothing can be answered. */
  abort(): void {
    this.#isOver = true;
    this.breakOff(new DispatchError("bad_request", "The request was cut off."));
  }

  /**
   * A body that nobody reads is taken off the wire when it is short; a long one ends the
   * connection.
   */
  #endsConnection(): boolean {
    if (this.#home.mustClose() || this.#broken !== null) return true;
    if (this.request.complete) return false;
    if (this.#isContinueAwaited) return true;
    const isChunked = this.headers["transfer-encoding"] !== undefined;
    return isChunked || Number(this.headers["content-length"] ?? 0) > BODY_MAX_BYTES;
  }
}

/** A request that no route sees: its answer is known before its turn. */
export type RefusedRequest = { readonly refusal: Refusal; readonly request: IncomingMessage };
