// Output whose reader is slow, stands still, goes away or comes back: lines may be lost and are
// counted, memory has a bound, and nothing is thrown.

import { expect, test } from "vitest";
import { until } from "../../scripts/testing/until.ts";
import { Output } from "./output.ts";

/** A pipe with room for so many bytes; `error` is thrown in place of taking any. */
class Pipe {
  room: number;
  error: string | null = null;
  text = "";

  constructor(room: number) {
    this.room = room;
  }

  readonly write = (bytes: Buffer): number => {
    if (this.error !== null) throw Object.assign(new Error(this.error), { code: this.error });
    const taken = Math.min(bytes.length, this.room);
    if (taken === 0) throw Object.assign(new Error("full"), { code: "EAGAIN" });
    this.room -= taken;
    this.text += bytes.subarray(0, taken).toString();
    return taken;
  };
}

const notice = (dropped: number): string => `(${dropped} lost)`;

test("what a full pipe does not take is written as soon as it has room, in order and whole", async () => {
  const pipe = new Pipe(8);
  const output = new Output(1, { write: pipe.write });
  for (const line of ["one\n", "two\n", "three\n", "four\n"]) output.write(line);
  expect(pipe.text).toBe("one\ntwo\n");
  pipe.room = 2;
  await until(() => pipe.room === 0);
  pipe.room = 100;
  await until(() => output.waitingBytes === 0);
  expect(pipe.text).toBe("one\ntwo\nthree\nfour\n");
  expect(output.droppedLines).toBe(0);
});

test("beyond the bound the newest lines are dropped, and said once the reader reads again", async () => {
  const pipe = new Pipe(0);
  const output = new Output(1, { write: pipe.write, bytesMax: 20, notice });
  for (let i = 0; i < 1_000; i++) output.write(`line ${i}\n`);
  expect(output.waitingBytes).toBeLessThanOrEqual(20);
  pipe.room = 10_000;
  await until(() => output.waitingBytes === 0);
  output.write("after\n");
  expect(pipe.text.split("\n")[0]).toBe("(998 lost)");
  expect(pipe.text).toContain("line 0\nline 1\nafter\n");
  expect(output.droppedLines).toBe(998);
});

test.each(["EPIPE", "EIO", "ENOSPC", "EBADF"])(
  "%s costs the lines of that time; whoever reads later gets the later ones",
  (code) => {
    const pipe = new Pipe(1_000);
    const output = new Output(1, { write: pipe.write, notice });
    output.write("before\n");
    pipe.error = code;
    output.write("nobody reads this\n");
    output.write("nor this\n");
    expect(output.waitingBytes).toBe(0);
    pipe.error = null;
    output.write("after\n");
    expect(pipe.text).toBe("before\n(2 lost)\nafter\n");
  },
);

test("a line that broke off does not swallow the next one's beginning", () => {
  const pipe = new Pipe(4);
  const output = new Output(1, { write: pipe.write });
  output.write("a long line\n");
  pipe.error = "EPIPE";
  output.flushWithin(0);
  pipe.error = null;
  pipe.room = 100;
  output.write("next\n");
  expect(pipe.text).toBe("a lo\nnext\n");
});

test("at the end of the process a reader that stands still is waited for a moment only", () => {
  const pipe = new Pipe(0);
  const output = new Output(1, { write: pipe.write });
  output.write("last words\n");
  output.flushWithin(30);
  expect(output.waitingBytes).toBe(11);
  pipe.room = 100;
  output.flushWithin(30);
  expect(pipe.text).toBe("last words\n");
});
