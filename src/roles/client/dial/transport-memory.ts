import { createHash } from "node:crypto";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import {
  PrivateFileError,
  readPrivateFile,
  writePrivateFile,
} from "../../../system/private-file.ts";
import { clientLimits } from "../limits.ts";
import type { TransportFacts } from "./transport.ts";

/**
 * In which networks UDP to a vault does not get through, for an hour each. A small file of its own:
 * whatever is wrong with it, it is as if nothing were known.
 */
export class TransportMemory {
  readonly #path: string;

  /** `stateDir` is the user's, e.g. `~/.local/state/fly-vault`. */
  constructor(stateDir: string) {
    this.#path = join(stateDir, "udp-blocked.json");
  }

  async recall(network: string, nowMs: number): Promise<TransportFacts["udp"]> {
    const known = (await this.#read(nowMs)).find((one) => one.network === network);
    if (known === undefined) return "unknown";
    const quietMs = nowMs - known.tried_ms;
    return quietMs >= 0 && quietMs < clientLimits.udpProbeEveryMs ? "blocked" : "probe";
  }

  /** UDP was tried just now, in vain. True where that is news. */
  async noteBlocked(network: string, nowMs: number): Promise<boolean> {
    const all = await this.#read(nowMs);
    const known = all.find((one) => one.network === network);
    const since = known?.since_ms ?? nowMs;
    const others = all.filter((one) => one !== known);
    await this.#write([...others, { network, since_ms: since, tried_ms: nowMs }]);
    return known === undefined;
  }

  /** It does get through. */
  async forget(network: string, nowMs: number): Promise<void> {
    const all = await this.#read(nowMs);
    const others = all.filter((one) => one.network !== network);
    if (others.length < all.length) await this.#write(others);
  }

  async #read(nowMs: number): Promise<readonly Blocked[]> {
    try {
      const bytes = await readPrivateFile(this.#path, fileBytesMax);
      if (bytes === undefined) return [];
      const { blocked } = v.parse(fileSchema, JSON.parse(new TextDecoder().decode(bytes)));
      return blocked.filter(({ since_ms }) => isRecent(since_ms, nowMs));
    } catch (error) {
      if (isDamage(error)) return [];
      throw error;
    }
  }

  async #write(blocked: readonly Blocked[]): Promise<void> {
    const newest = blocked.slice(-clientLimits.blockedNetworksMax);
    const text = JSON.stringify({ version: 1, blocked: newest });
    try {
      await writePrivateFile(this.#path, new TextEncoder().encode(`${text}\n`));
    } catch (error) {
      // A read-only home costs the memory and nothing else.
      if (!isDamage(error)) throw error;
    }
  }
}

/** The network a computer is in, by its own addresses, and which vault it looks at: nobody else's business. */
export function networkKey(addresses: readonly string[], vaultAddress: string): string {
  const words = [vaultAddress, ...addresses.toSorted()].join("\n");
  return createHash("sha256").update(words).digest("hex").slice(0, 32);
}

export function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => address);
}

/** A clock that was set back makes nothing last longer. */
function isRecent(sinceMs: number, nowMs: number): boolean {
  return nowMs >= sinceMs && nowMs - sinceMs < clientLimits.udpBlockedMs;
}

function isDamage(error: unknown): boolean {
  if (error instanceof PrivateFileError || error instanceof SyntaxError) return true;
  if (error instanceof v.ValiError) return true;
  return error instanceof Error && "syscall" in error;
}

const time = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const blockedSchema = v.object({
  network: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  since_ms: time,
  tried_ms: time,
});

const fileSchema = v.object({
  version: v.literal(1),
  blocked: v.pipe(v.array(blockedSchema), v.maxLength(clientLimits.blockedNetworksMax)),
});

type Blocked = v.InferOutput<typeof blockedSchema>;

const fileBytesMax = 16 * 1024;
