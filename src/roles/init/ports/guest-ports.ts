import { basename } from "node:path";
import { type ListeningSocket, listeningSockets } from "../../../system/listening-sockets.ts";
import { linkOf, namesIn, textOf } from "../../../system/proc-files.ts";
import { initLimits } from "../limits.ts";
import { ancestry, readProcessTree, statOf } from "./guest-process-tree.ts";

/** A process of the guest that listens. */
export interface PortOwner {
  readonly process: string;
  /** As it is called inside. */
  readonly insidePid: number | null;
  /** Its number outside and those of the processes above it, when it was found. */
  readonly ancestors: readonly number[];
  readonly startTicks: number;
}

export interface GuestSocket extends Pick<ListeningSocket, "host" | "port"> {
  readonly owner: PortOwner;
}

/**
 * Which sockets the guest's processes listen on. The network is shared with the system outside, so a
 * socket counts when a process below one of `roots` has it open. Processes are gone through only when
 * there is a socket that was not seen before.
 */
export class GuestPorts {
  readonly #roots: () => readonly number[];
  /** By the socket's link; a number counts in how many looks nobody had it. */
  readonly #known = new Map<string, PortOwner | number>();

  /** Numbers outside: PID 1 of the workload, and the first process of each session. */
  constructor(roots: () => readonly number[]) {
    this.#roots = roots;
  }

  async look(): Promise<GuestSocket[]> {
    const sockets = listeningSockets("tcp").slice(0, initLimits.portSocketsMax);
    const links = new Set(sockets.map(({ link }) => link));
    for (const link of this.#known.keys()) if (!links.has(link)) this.#known.delete(link);
    const wanted = new Set([...links].filter((link) => this.#isOpen(link)));
    if (wanted.size > 0) await this.#search(wanted);
    return sockets.flatMap(({ host, port, link }) => {
      const owner = this.#known.get(link);
      return typeof owner === "object" ? [{ host, port, owner }] : [];
    });
  }

  /** Whether it is to be found out who has it. */
  #isOpen(link: string): boolean {
    const known = this.#known.get(link);
    if (known === undefined) return true;
    if (typeof known === "number") return known < initLimits.portMissesMax;
    // A process that is gone may have left the socket to another.
    const [pid = 0] = known.ancestors;
    return statOf(pid)?.startTicks !== known.startTicks;
  }

  async #search(wanted: Set<string>): Promise<void> {
    const tree = await readProcessTree();
    const roots = new Set(this.#roots());
    // What has just begun to listen is mostly young.
    for (const pid of [...tree.keys()].toReversed()) {
      if (wanted.size === 0) return;
      const ancestors = ancestry(tree, pid);
      if (ancestors.some((each) => roots.has(each))) await this.#searchIn(ancestors, wanted);
    }
    for (const link of wanted) {
      const known = this.#known.get(link);
      this.#known.set(link, typeof known === "number" ? known + 1 : 1);
    }
  }

  async #searchIn(ancestors: readonly number[], wanted: Set<string>): Promise<void> {
    const [pid = 0] = ancestors;
    let owner: PortOwner | undefined;
    const descriptors = namesIn(`/proc/${pid}/fd`).slice(0, initLimits.portDescriptorsMax);
    await Bun.sleep(0);
    for (const [step, name] of descriptors.entries()) {
      if (step % initLimits.portTurnSteps === initLimits.portTurnSteps - 1) await Bun.sleep(0);
      const link = linkOf(`/proc/${pid}/fd/${name}`);
      if (!wanted.has(link)) continue;
      owner ??= ownerOf(ancestors);
      if (owner === undefined) return;
      this.#known.set(link, owner);
      wanted.delete(link);
    }
  }
}

function ownerOf(ancestors: readonly number[]): PortOwner | undefined {
  const [pid = 0] = ancestors;
  const startTicks = statOf(pid)?.startTicks;
  if (startTicks === undefined) return undefined;
  const inside = Number(/^NSpid:.*?(\d+)$/m.exec(textOf(`/proc/${pid}/status`))?.[1]);
  return {
    process: nameOf(pid),
    insidePid: inside > 0 ? inside : null,
    ancestors,
    startTicks,
  };
}

/** Node calls its first thread so, and with it the process. */
function nameOf(pid: number): string {
  const name = textOf(`/proc/${pid}/comm`).trim();
  return name === "MainThread" ? basename(linkOf(`/proc/${pid}/exe`)) || name : name;
}
