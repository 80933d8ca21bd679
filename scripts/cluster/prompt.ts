// Obeys the commands of the cluster's prompt, one after the other, and says what was done. It
// refuses names that are not in the table; whatever a command runs into is said, never thrown.

import { HELP } from "./commands.ts";
import type { Command } from "./commands.ts";
import type { Cluster } from "./cluster.ts";
import type { FactFinder } from "./facts.ts";
import type { Member } from "./member.ts";
import { shardLines } from "./table.ts";

export class Prompt {
  readonly #cluster: Cluster;
  readonly #finder: FactFinder;
  readonly #say: (line: string) => void;

  constructor(cluster: Cluster, finder: FactFinder, say: (line: string) => void) {
    this.#cluster = cluster;
    this.#finder = finder;
    this.#say = say;
  }

  async obey(command: Exclude<Command, { do: "quit" }>): Promise<void> {
    try {
      await this.#obey(command);
    } catch (error) {
      this.#say((error as Error).message);
    }
  }

  async #obey(command: Exclude<Command, { do: "quit" }>): Promise<void> {
    switch (command.do) {
      case "nothing":
      case "table":
        return;
      case "help":
        return this.#say(HELP);
      case "shards":
        return this.#say(shardLines(await this.#finder.find()).join("\n"));
      case "add": {
        const adding = command.kind === "node" ? "addNode" : "addGateway";
        const name = await this.#cluster[adding]();
        return this.#say(`${name} is up`);
      }
      case "partition":
      case "heal":
        return this.#cut(command.name, command);
      case "kill":
      case "stop":
      case "cont":
      case "drain":
      case "start":
        return this.#signal(this.#named(command.name), command.do);
    }
  }

  #named(name: string): Member {
    const member = this.#cluster.member(name);
    if (member !== undefined) return member;
    const names = this.#cluster.members().map((one) => one.name);
    throw new Error(`there is no ${name}; there are ${names.join(", ")}`);
  }

  #cut(name: string, command: Extract<Command, { do: "partition" | "heal" }>): void {
    this.#named(name);
    if (this.#cluster.links(name).length === 0) {
      throw new Error(`${name} has no links that could be cut: nodes and gateways have`);
    }
    if (command.do === "heal") {
      this.#cluster.heal(name);
      return this.#say(`${name} has its links back`);
    }
    const from = command.do === "partition" ? command.from : "all";
    this.#cluster.partition(name, from);
    this.#say(`${name} is cut off from ${from === "all" ? "NATS and Postgres" : from}`);
  }

  async #signal(member: Member, what: "kill" | "stop" | "cont" | "drain" | "start"): Promise<void> {
    const { name, pid } = member;
    const startedAt = performance.now();
    const took = (): string => `${Math.round(performance.now() - startedAt)} ms`;
    if (what === "start") {
      if (pid !== null) throw new Error(`${name} runs already (pid ${pid})`);
      await member.start();
      return this.#say(`${name} is up (pid ${member.pid}, ${took()})`);
    }
    if (pid === null) throw new Error(`${name} is down: start ${name}`);
    switch (what) {
      case "kill":
        await member.kill();
        return this.#say(`${name} was killed (pid ${pid})`);
      case "stop":
        member.pause();
        return this.#say(`${name} is frozen (pid ${pid}): cont ${name}`);
      case "cont":
        member.resume();
        return this.#say(`${name} goes on (pid ${pid})`);
      case "drain":
        await member.end();
        return this.#say(`${name} has ended (${member.ended}, ${took()})`);
    }
  }
}
