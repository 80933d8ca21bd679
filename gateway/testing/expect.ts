/**
 * What tests of the REST door expect again and again.
 */
import { expect } from "vitest";
import type { z } from "zod";
import { problemAnswer } from "../operations/answers.ts";
import type { RestAnswer } from "./clients.ts";

/** The answer is as the OpenAPI page says. */
export const fits = (schema: z.ZodType, answer: RestAnswer): void =>
  expect(schema.safeParse(answer.body).error?.issues ?? []).toEqual([]);

/** The answer is a well-formed problem with this status and code, and names the field. */
export function refused(answer: RestAnswer, status: number, code: string, pointer?: string): void {
  expect([answer.status, answer.body?.code], answer.text).toEqual([status, code]);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  fits(problemAnswer, answer);
  if (pointer === undefined) return;
  expect(answer.body.errors.map((e: { pointer: string }) => e.pointer)).toContain(pointer);
}
