import { BrokerDesk } from "./broker-desk.ts";
import { CheckBudget } from "./check-budget.ts";
import type { Decision, Output } from "../decision.ts";
import type { ClientFlow } from "./client-flow.ts";
import { Directory } from "./directory.ts";
import { FlowTable } from "./flow-table.ts";
import { HeldDatagrams } from "./held-datagrams.ts";
import { HintDesk } from "./hint-desk.ts";
import { KeyRing } from "./key-ring.ts";
import { proxyLimits } from "../limits.ts";
import { OpenNetworks } from "./open-networks.ts";
import { PenaltyTable } from "./penalty-table.ts";
import { ReplayWindow } from "./replay-window.ts";
import { Tally } from "./tally.ts";
import type { ProxyMaster } from "../../../quic/proxy-master.ts";

export interface RelayCoreOptions {
  readonly masters: readonly ProxyMaster[];
  /** Clients without keys are let in (`openMaster`). */
  readonly open: boolean;
  /** A flow whose client was silent for so long is over. */
  readonly sessionTimeoutMs: number;
  /** `proxyLimits.machineBitsPerSecond` where not said. */
  readonly machineBitsPerSecond?: number;
  readonly randomBytes: (length: number) => Uint8Array;
}

/** All that the relay remembers. */
export class RelayParts {
  readonly tally: Tally = new Tally();
  readonly window: ReplayWindow = new ReplayWindow();
  readonly flows: FlowTable = new FlowTable();
  readonly held: HeldDatagrams = new HeldDatagrams();
  readonly desk: BrokerDesk = new BrokerDesk();
  readonly openNetworks: OpenNetworks = new OpenNetworks();
  readonly checks: CheckBudget;
  readonly keys: KeyRing;
  readonly directory: Directory;
  readonly hints: HintDesk;
  /** Until then, that a machine is not in the directory means nothing. */
  synced = false;
  /** No new connections any more. */
  draining = false;
  /** Draining, these are still to be told. */
  farewells: ClientFlow[] = [];
  #released: { readonly flow: ClientFlow; readonly datagram: Uint8Array }[] = [];

  constructor(options: RelayCoreOptions) {
    const { masters, open, machineBitsPerSecond, randomBytes } = options;
    this.checks = new CheckBudget(new PenaltyTable(randomBytes(4)));
    this.keys = new KeyRing(masters, open);
    this.directory = new Directory(machineBitsPerSecond ?? proxyLimits.machineBitsPerSecond);
    this.hints = new HintDesk(this.keys, this.tally);
  }

  release(flow: ClientFlow, datagram: Uint8Array): void {
    flow.noteClient(datagram.byteLength, false, flow.lastMs);
    this.#released.push({ flow, datagram });
  }

  /** Those whose flow had to go again are not among them: nobody would close its socket. */
  takeReleased(): Output["released"] {
    if (this.#released.length === 0) return this.#released;
    const released = this.#released.filter(({ flow }) => flow.open);
    this.#released = [];
    return released;
  }

  /** One more datagram of this client, who showed that it belongs there. `withId`: by an id of the machine. */
  pass(flow: ClientFlow, bytes: number, withId: boolean, nowMs: number): Decision {
    if (flow.noteClient(bytes, withId, nowMs)) {
      this.flows.confirm(flow);
      if (this.draining) this.farewells.push(flow);
    }
    const { toMachine } = flow.traffic;
    return toMachine.take(flow.toMachine, bytes, 1, nowMs) ? flow : this.tally.drop("machine-rate");
  }
}
