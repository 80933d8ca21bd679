// The lines that people type at the prompt of a cluster, read into commands. Pure; refuses with one
// sentence what it does not understand.

export type Command =
  | { readonly do: "kill" | "stop" | "cont" | "drain" | "start"; readonly name: string }
  | { readonly do: "heal"; readonly name: string }
  | {
      readonly do: "partition";
      readonly name: string;
      readonly from: "all" | "nats" | "postgres";
    }
  | { readonly do: "add"; readonly kind: "node" | "gateway" }
  | { readonly do: "shards" | "table" | "help" | "nothing" }
  | { readonly do: "quit" };

export const HELP = `  kill NAME        ends it at once (kill -9)
  stop NAME        freezes it (SIGSTOP); cont NAME lets it go on
  drain NAME       asks it to hand over and end (SIGTERM)
  start NAME       starts one that is down
  add node         one more node; add gateway: one more gateway
  partition NAME   cuts a node or gateway off from NATS and Postgres; with the
                   word nats or postgres behind it, only from that
  heal NAME        mends its links
  shards           which node owns which shard, with epoch and standbys
  table            the table once more
  help, quit       Ctrl-C and the end of the input quit, too
NAME is what stands in the table, e.g. node1, gateway2, nats3, postgres.`;

const WITH_NAME = ["kill", "stop", "cont", "drain", "start", "heal"] as const;
const ALONE = ["shards", "table", "help", "quit"] as const;
const ALIASES: Readonly<Record<string, string>> = { exit: "quit", "?": "help", resume: "cont" };

/** The command of one line, or what is wrong with it. */
export function parseCommand(line: string): Command | string {
  const words = line.trim().split(/\s+/);
  const [first = "", second, third] = words;
  const verb = ALIASES[first] ?? first;
  if (verb === "") return { do: "nothing" };
  const alone = ALONE.find((one) => one === verb);
  if (alone !== undefined) return words.length === 1 ? { do: alone } : `${verb} stands alone`;
  if (verb === "add") {
    if (words.length === 2 && (second === "node" || second === "gateway")) {
      return { do: "add", kind: second };
    }
    return "add what? add node, or add gateway";
  }
  const named = WITH_NAME.find((one) => one === verb);
  if (named === undefined && verb !== "partition") return `"${first}" is not known: try help`;
  if (second === undefined) return `${verb} whom? A name from the table, e.g. ${verb} node1`;
  if (named !== undefined) {
    return words.length === 2 ? { do: named, name: second } : `${verb} takes one name`;
  }
  const from = third ?? "all";
  if (words.length <= 3 && (from === "all" || from === "nats" || from === "postgres")) {
    return { do: "partition", name: second, from };
  }
  return "partition NAME, partition NAME nats, or partition NAME postgres";
}
