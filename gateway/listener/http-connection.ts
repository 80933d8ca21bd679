/**
 * One connection to the public port while it speaks HTTP: its requests in their order, one at a
 * time, and its end. `node:http` parses; this decides what is answered when, so that
 *
 * - answers stand in the order of their requests, each begins when the one before it has been
 *   taken, and no more requests are read than a few that wait: a reader who takes nothing costs the
 *   memory of one answer;
 * - after the answer that ends the connection nothing of what follows is run, and what the client
 *   still sends is read and thrown away for a moment, so that no reset overtakes that answer;
 * - bytes that are no HTTP are answered like any other mistake, after the answers that are owed.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { DispatchError } from "../../proto/errors.ts";
import { CONNECTION_MAX_REQUESTS, LINGER_MS, PIPELINED_MAX_REQUESTS } from "../../proto/limits.ts";
import { PROXY_KEEP_ALIVE_MS } from "../../proto/limits.ts";
import { lastAnswer } from "./answers.ts";
import type { PlainAnswer } from "./answers.ts";
import { NodeExchange } from "./node-exchange.ts";
import type { ExchangeHome } from "./node-exchange.ts";
import { isRefusal, readHead } from "./request-head.ts";
import type { Head, RawHead, Refusal } from "./request-head.ts";
import type { UntakenAnswers } from "./untaken.ts";

/** What all connections of a listener share. */
export type ConnectionHouse = {
  readonly untaken: UntakenAnswers;
  isDraining(): boolean;
  isProxy(address: string): boolean;
  addressOf(peer: string, forwarded: string | undefined): string;
  refusalAnswer(refusal: Refusal, path?: string): PlainAnswer;
  /** Runs a request; never throws. */
  serve(exchange: NodeExchange): void;
  /** One more request waits for its turn, or so many fewer; whether there is room for it. */
  waits(by: number): boolean;
};

/** A request that waits for its turn: for its route, or for the answer that is known already. */
type Turn = { readonly exchange: NodeExchange; readonly refusal: Refusal | null };

/** As many as two reads can bring. */
const IGNORED_MAX_REQUESTS = 4_096;
const NO_HEAD: Head = { path: "", query: "", headers: {} };

export class HttpConnection implements ExchangeHome {
  readonly socket: Socket;
  /** As the kernel says it. */
  readonly peer: string;
  readonly #house: ConnectionHouse;
  /** The first is in work. */
  #turns: Turn[] = [];
  #served = 0;
  #latest: IncomingMessage | null = null;
  #isHeld = false;
  /** The last answer was given, or nothing can be answered: what comes now is nobody's. */
  #isOver = false;
  /** The next answer is the last. */
  #mustClose = false;
  /**
   * What is done when nothing is in work any more: an upgrade, or the answer to what was no HTTP.
   */
  #afterwards: (() => void) | null = null;
  #restBytes = 0;
  #ignored = 0;

  constructor(house: ConnectionHouse, socket: Socket, peer: string) {
    this.#house = house;
    this.socket = socket;
    this.peer = peer;
    socket.on("error", () => undefined);
    socket.on("close", () => this.#closed());
    // What node:http calls after the last answer: as before, but reading goes on for a moment.
    socket.destroySoon = () => this.linger();
  }

  mustClose(): boolean {
    return this.#mustClose || this.#house.isDraining() || this.#served >= CONNECTION_MAX_REQUESTS;
  }

  answered(bytes: number, closes: boolean): void {
    if (closes) this.#isOver = true;
    if (this.socket.writableLength > 0) this.#house.untaken.add(this.socket, bytes);
  }

  /** A request was parsed. */
  request(request: IncomingMessage, response: ServerResponse, early: Refusal | null = null): void {
    if (this.#isOver || this.#afterwards !== null) {
      this.#ignore();
      return;
    }
    this.#latest = request;
    this.#served++;
    const head = this.head(request);
    const refusal = isRefusal(head) ? head : early;
    // After such a head nobody can be sure where the next request begins.
    if (isRefusal(head)) this.#mustClose = true;
    const known = isRefusal(head) ? NO_HEAD : head;
    const address = this.#house.addressOf(this.peer, known.headers["x-forwarded-for"]);
    const exchange = new NodeExchange(this, request, response, known, address);
    response.once("close", () => this.#done());
    this.#turns.push({ exchange, refusal });
    const hasRoom = this.#house.waits(1);
    if (this.#turns.length === 1) this.#begin();
    else if (!hasRoom) this.#shed();
    else if (this.#turns.length > PIPELINED_MAX_REQUESTS) this.#hold();
  }

  head({ method = "", url = "", httpVersion, rawHeaders }: IncomingMessage): Head | Refusal {
    const raw: RawHead = { method, target: url, version: httpVersion, fields: rawHeaders };
    return readHead(raw);
  }

  /**
   * Runs it when everything that came before is answered; never, when the connection ends before.
   */
  afterwards(run: () => void): void {
    if (this.#isOver) this.socket.destroy();
    else if (this.#turns.length === 0) run();
    else this.#afterwards = run;
  }

  /** What came is no HTTP, or came too slowly. */
  broken(refusal: Refusal | null): void {
    if (this.#isOver || this.#afterwards !== null) return;
    const latest = this.#latest;
    if (latest !== null && !latest.complete) {
      this.#brokenBody(latest, refusal);
      return;
    }
    const isNobody = refusal?.code === "request_timeout" && this.#isAtRest();
    this.afterwards(() => {
      this.#isOver = true;
      if (refusal === null || isNobody) this.socket.destroySoon();
      else this.end(this.#house.refusalAnswer(refusal));
    });
  }

  /** Writes an answer past the library, and ends. */
  end(answer: PlainAnswer): void {
    this.#isOver = true;
    if (this.socket.writable) this.socket.write(lastAnswer(answer));
    this.linger();
  }

  /**
   * Ends our side, and reads what the client still sends until it ends its own, or for LINGER_MS.
   */
  linger(): void {
    const { socket } = this;
    this.#isOver = true;
    if (socket.destroyed) return;
    if (socket.writable) socket.end();
    const cut = (): void => {
      const bell = setTimeout(() => socket.destroy(), socket.readableEnded ? 0 : LINGER_MS);
      bell.unref();
      socket.once("end", () => socket.destroy());
      socket.once("close", () => clearTimeout(bell));
      socket.resume();
    };
    if (socket.writableFinished) cut();
    else socket.once("finish", cut);
  }

  /** The error lies in the body of a request: it is that request's answer. */
  #brokenBody(latest: IncomingMessage, refusal: Refusal | null): void {
    this.#mustClose = true;
    this.#afterwards = () => this.socket.destroySoon();
    const turn = this.#turns.find(({ exchange }) => exchange.request === latest);
    if (turn === undefined) {
      // It was answered without its body.
      this.socket.destroySoon();
      return;
    }
    const { code = "bad_request", detail } = refusal ?? {};
    turn.exchange.breakOff(new DispatchError(code, detail));
  }

  #begin(): void {
    const [turn] = this.#turns;
    if (turn === undefined) return;
    const { exchange, refusal } = turn;
    if (refusal === null) {
      this.#house.serve(exchange);
      return;
    }
    const { status, headers, body } = this.#house.refusalAnswer(refusal, exchange.path);
    exchange.respond(status, headers, body);
  }

  /** The answer of the first was taken, or its connection broke. */
  #done(): void {
    this.#house.untaken.remove(this.socket);
    if (this.#turns.shift() !== undefined) this.#house.waits(-1);
    if (this.#isOver) {
      this.#drop(0);
      return;
    }
    if (this.#isHeld && this.#turns.length <= PIPELINED_MAX_REQUESTS) {
      this.#isHeld = false;
      this.socket.resume();
    }
    if (this.#turns.length > 0) this.#begin();
    else if (this.#afterwards === null) this.#rest();
    else this.#afterwards();
  }

  #rest(): void {
    this.#restBytes = this.socket.bytesRead;
    // After node:http has set its own; it sets another when the next request comes.
    if (this.#house.isProxy(this.peer)) this.socket.setTimeout(PROXY_KEEP_ALIVE_MS);
  }

  /** No byte of a request has come. */
  #isAtRest(): boolean {
    return this.#turns.length === 0 && this.socket.bytesRead === this.#restBytes;
  }

  /**
   * Reads no more for now. In a microtask: what node:http does after this event would take the
   * pause back.
   */
  #hold(): void {
    if (this.#isHeld) return;
    this.#isHeld = true;
    queueMicrotask(() => {
      if (this.#isHeld && !this.socket.writableEnded) this.socket.pause();
    });
  }

  /**
   * There are too many that wait: those of this connection that were not begun are not answered.
   */
  #shed(): void {
    this.#mustClose = true;
    this.#afterwards = () => this.socket.destroySoon();
    this.#drop(1);
    this.#hold();
  }

  /** Behind the last answer. What is parsed of it takes memory until the connection is gone. */
  #ignore(): void {
    if (++this.#ignored > IGNORED_MAX_REQUESTS) this.socket.destroy();
    else this.#hold();
  }

  #drop(from: number): void {
    const dropped = this.#turns.splice(from);
    if (dropped.length > 0) this.#house.waits(-dropped.length);
  }

  #closed(): void {
    this.#isOver = true;
    this.#afterwards = null;
    this.#house.untaken.remove(this.socket);
    for (const { exchange } of this.#turns) exchange.abort();
    this.#drop(0);
  }
}
