import { connectionIdKey, deriveMask, machineKey } from "../../../quic/admission-key.ts";
import { openMaster, type ProxyMaster } from "../../../quic/proxy-master.ts";
import { type IdPad, idPad } from "../../../quic/routed-id.ts";
import { proxyLimits } from "../limits.ts";

interface MachineKeys {
  readonly key: Uint8Array;
  /** For the tags in connection ids; made when first asked for. */
  idTag: Uint8Array | undefined;
}

interface Epoch {
  readonly master: Uint8Array;
  readonly pad: IdPad;
  /** By machine, the longest unused first. */
  readonly kept: Map<string, MachineKeys>;
}

/** All keys that follow from the masters. Those that proved right are kept, within a limit. */
export class KeyRing {
  readonly #epochs = new Map<number, Epoch>();
  readonly #isOpen: boolean;

  /** Throws `RangeError` for two masters of one epoch, and for one that everybody knows. */
  constructor(masters: readonly ProxyMaster[], isOpen: boolean) {
    this.#isOpen = isOpen;
    if (masters.some(({ master }) => master.every((byte) => byte === 0)))
      throw new RangeError("A master of zeros is nobody's secret");
    for (const { epoch, master } of isOpen ? [...masters, openMaster] : masters) {
      if (this.#epochs.has(epoch)) throw new RangeError(`Two masters are of epoch ${epoch}`);
      this.#epochs.set(epoch, { master, pad: idPad(deriveMask(master)), kept: new Map() });
    }
  }

  get kept(): number {
    return [...this.#epochs.values()].reduce((sum, { kept }) => sum + kept.size, 0);
  }

  isLive(epoch: number): boolean {
    return this.#epochs.has(epoch);
  }

  /** Whether anybody can make tags of it. */
  isOpen(epoch: number): boolean {
    return this.#isOpen && epoch === openMaster.epoch;
  }

  padOf(epoch: number): IdPad | undefined {
    return this.#epochs.get(epoch)?.pad;
  }

  /** Made anew for a machine that nobody proved to have the key of: strangers ask for what they like. */
  admissionKey(epoch: number, machineId: string): Uint8Array | undefined {
    const found = this.#epochs.get(epoch);
    if (found === undefined) return undefined;
    const kept = found.kept.get(machineId);
    return kept?.key ?? machineKey(found.master, machineId);
  }

  /** Call with what proved right only. */
  keep(epoch: number, machineId: string, key: Uint8Array): void {
    const kept = this.#epochs.get(epoch)?.kept;
    if (kept === undefined) return;
    const known = kept.get(machineId);
    kept.delete(machineId);
    kept.set(machineId, known ?? { key, idTag: undefined });
    if (kept.size <= proxyLimits.keysPerEpochMax) return;
    const [unused = machineId] = kept.keys();
    kept.delete(unused);
  }

  /** Kept: ask for machines of the directory only. */
  idTagKey(epoch: number, machineId: string): Uint8Array | undefined {
    const found = this.#epochs.get(epoch);
    const key = this.admissionKey(epoch, machineId);
    if (found === undefined || key === undefined) return undefined;
    this.keep(epoch, machineId, key);
    const keys = found.kept.get(machineId);
    if (keys === undefined) return undefined;
    keys.idTag ??= connectionIdKey(keys);
    return keys.idTag;
  }
}
