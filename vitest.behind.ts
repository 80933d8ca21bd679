// The tests that run once more behind nginx, behind HAProxy and by Node's `http` agent. `npm test`
// runs REST, the SDK, the sockets and attacks by HTTP there; with HEXDISPATCH_TEST_BEHIND=all the
// long ones run as well. Left out are those that send bytes which no proxy passes on (wire). One
// file alone: HEXDISPATCH_TEST_BEHIND=all npx vitest run --project nginx FILE.

const ALWAYS: readonly string[] = [
  "gateway/rest/create.itest.ts",
  "gateway/rest/deliveries.itest.ts",
  "gateway/rest/door.itest.ts",
  "gateway/access/authorization.itest.ts",
  "gateway/access/security.itest.ts",
  "gateway/websocket/sdk-browser.itest.ts",
  "gateway/websocket/ws.itest.ts",
  "gateway/attacks/bombs.itest.ts",
  "gateway/attacks/fields.itest.ts",
];
/** They take minutes and have found nothing that the others did not. */
const LONG: readonly string[] = [
  "gateway/page/tracking-page.itest.ts",
  "gateway/operations/test-mode.itest.ts",
  "gateway/attacks/doors.itest.ts",
  "gateway/attacks/frames.itest.ts",
  "gateway/attacks/slow.itest.ts",
];
const asked = process.env["HEXDISPATCH_TEST_BEHIND"];

/** All that make sense behind a proxy. */
export const BEHIND_FILES: readonly string[] = [...ALWAYS, ...LONG];
/** Run behind each of them now. */
const CHOSEN = asked === "all" ? BEHIND_FILES : ALWAYS;

/**
 * The agent is a way to ask by REST: what asks by sockets or on its own says nothing more by it.
 */
const AGENT_FILES = CHOSEN.filter((file) => /\/(rest|authorization|security)/.test(file));

const FILES = { nginx: CHOSEN, haproxy: CHOSEN, agent: AGENT_FILES };

/**
 * Projects of vitest; none unless HEXDISPATCH_TEST_BEHIND asks for them, so that one file runs once
 * by default.
 */
export function behindProjects() {
  if (asked !== "yes" && asked !== "all") return [];
  return Object.entries(FILES).map(([name, include], at) => ({
    test: {
      name,
      include: [...include],
      env: { HEXDISPATCH_TEST_VIA: name },
      setupFiles: "gateway/testing/via-setup.ts",
      fileParallelism: false,
      testTimeout: 60_000,
      hookTimeout: 60_000,
      globalSetup: "scripts/testing/global-setup.ts",
      sequence: { groupOrder: 4 + at },
    },
  }));
}
