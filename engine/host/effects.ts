/** Small parts of the host: the order of effects, and answers to requests. */
import type { Effect } from "../../actors/actor.ts";
import type { Reply } from "./ports.ts";
import type { Request } from "./residents.ts";

/** The order in which the host does what a step asks for. */
const EFFECT_RANK: Readonly<Record<Effect["do"], number>> = {
  commit: 0,
  ledger: 1,
  index: 2,
  history: 3,
  send: 4,
  notify: 5,
  answer: 6,
  search: 7,
  reload: 8,
};
export const byRank = (a: Effect, b: Effect): number => EFFECT_RANK[a.do] - EFFECT_RANK[b.do];

/** Answers a request once; nothing where there is none. */
export function answer(
  request: Request | null,
  code: Parameters<Reply>[0],
  online: boolean | null,
): void {
  if (request === null || request.answered) return;
  request.answered = true;
  request.reply(code, online);
}
