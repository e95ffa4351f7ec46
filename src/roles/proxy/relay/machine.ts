import type { MachineState, StartOutcome } from "../broker-record.ts";
import { proxyLimits } from "../limits.ts";
import { MachineRate } from "./machine-rate.ts";
import { TokenBucket } from "../../../system/token-bucket.ts";

/** One machine of the directory, and what its clients may use. */
export class Machine {
  readonly id: string;
  state: MachineState = "other";
  address: string | undefined;
  /** How the last start ended that came to nothing, until it may be tried again. */
  failed: { readonly outcome: Exclude<StartOutcome, "starting">; readonly untilMs: number } | null =
    null;
  #traffic: Traffic | undefined;
  readonly #bitsPerSecond: number;

  constructor(id: string, bitsPerSecond: number) {
    this.id = id;
    this.#bitsPerSecond = bitsPerSecond;
  }

  /** Made with the first client: most machines have none. */
  get traffic(): Traffic {
    this.#traffic ??= {
      toMachine: new MachineRate(this.#bitsPerSecond),
      fromMachine: new MachineRate(this.#bitsPerSecond),
      admissions: newFlows(),
      bindings: newFlows(),
    };
    return this.#traffic;
  }
}

/** One that datagrams can be sent to now. */
export type ReachableMachine = AddressedMachine & { readonly state: "started" };

export type AddressedMachine = Machine & { readonly address: string };

export function isReachable(machine: Machine): machine is ReachableMachine {
  return machine.state === "started" && machine.address !== undefined;
}

export function hasAddress(machine: Machine): machine is AddressedMachine {
  return machine.address !== undefined;
}

export interface Traffic {
  readonly toMachine: MachineRate;
  readonly fromMachine: MachineRate;
  /** New flows of clients whose tag was right. */
  readonly admissions: TokenBucket;
  /** New flows by an id alone, apart: who saw one on the path must not use up what admissions have. */
  readonly bindings: TokenBucket;
}

function newFlows(): TokenBucket {
  const limits = proxyLimits;
  return new TokenBucket({
    perSecond: limits.newFlowsPerMachinePerSecond,
    burst: limits.newFlowsPerMachineBurst,
  });
}
