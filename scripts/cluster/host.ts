// Where a process of a cluster runs. Usually this machine as it is; the fault suite puts each part
// into a network namespace of its own (../faults/namespaces.ts), whose cable it can pull.

import type { Launch } from "../services/nats.ts";

export interface Host {
  readonly name: string;
  /** The address under which it is reached, and on which its processes listen. */
  readonly ip: string;
  /** The address under which its processes reach what listens beside this script. */
  readonly gatewayIp: string;
  readonly launch: Launch;
}

/** This machine as it is. */
export const thisHost: Host = {
  name: "local",
  ip: "127.0.0.1",
  gatewayIp: "127.0.0.1",
  launch: (command, args) => ({ command, args }),
};
