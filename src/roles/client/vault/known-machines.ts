import { rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import type { AttestedMachine } from "../../../fly/attestation.ts";
import {
  createPrivateFile,
  PrivateFileError,
  readPrivateFile,
  writePrivateFile,
} from "../../../system/private-file.ts";

/** The record of a vault is there but cannot be believed: it is not overwritten, a person decides. */
export class KnownMachineError extends Error {
  override readonly name = "KnownMachineError";
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

/** What was seen when a vault without `machine_id` was first used. */
export interface KnownMachine {
  readonly issuer: string;
  readonly app: string;
  readonly orgId: string;
  readonly appId: string;
  readonly machineId: string;
  /** Fly does not always tell it, and older records have none. */
  readonly imageDigest?: string;
  readonly firstSeenMs: number;
}

/** Trust on first use: one file for each vault, so that two vaults never wait for one another. */
export class KnownMachines {
  readonly #directory: string;

  /** `stateDir` is the user's, e.g. `~/.local/state/fly-vault`. */
  constructor(stateDir: string) {
    this.#directory = join(stateDir, "known-machines");
  }

  path(vault: string): string {
    return join(this.#directory, `${encodeURIComponent(vault)}.json`);
  }

  /** Rejects with `KnownMachineError`. */
  async read(vault: string): Promise<KnownMachine | undefined> {
    const path = this.path(vault);
    try {
      const bytes = await readPrivateFile(path, fileBytesMax);
      return bytes === undefined ? undefined : decode(bytes);
    } catch (error) {
      const known = [PrivateFileError, SyntaxError, v.ValiError];
      if (!known.some((kind) => error instanceof kind)) throw error;
      throw new KnownMachineError(path, "The record of the machine first seen is damaged");
    }
  }

  /**
   * Notes the machine of a vault that has no record. False when another run of this program noted a
   * different one in the meantime.
   */
  async add(vault: string, machine: AttestedMachine, nowMs: number): Promise<boolean> {
    const path = this.path(vault);
    if (await createPrivateFile(path, encode(machine, nowMs))) return true;
    const first = await this.read(vault);
    return first !== undefined && isSame(first, machine);
  }

  /** For a vault whose configuration was turned to another app or issuer by its owner. */
  async replace(vault: string, machine: AttestedMachine, nowMs: number): Promise<void> {
    await writePrivateFile(this.path(vault), encode(machine, nowMs));
  }

  /** The vault is gone; one of its name that comes later is another one. */
  async forget(vault: string): Promise<void> {
    await rm(this.path(vault), { force: true });
  }
}

function isSame(known: KnownMachine, machine: AttestedMachine): boolean {
  return (
    known.issuer === machine.issuer &&
    known.orgId === machine.orgId &&
    known.appId === machine.appId &&
    known.machineId === machine.machineId
  );
}

function encode(machine: AttestedMachine, nowMs: number): Uint8Array {
  const record: v.InferOutput<typeof recordSchema> = {
    version: 1,
    issuer: machine.issuer,
    app: machine.appName,
    org_id: machine.orgId,
    app_id: machine.appId,
    machine_id: machine.machineId,
    ...(machine.imageDigest === undefined ? {} : { image_digest: machine.imageDigest }),
    first_seen_ms: nowMs,
  };
  return new TextEncoder().encode(`${JSON.stringify(record, undefined, 2)}\n`);
}

/** Throws `SyntaxError` or `ValiError`. */
function decode(bytes: Uint8Array): KnownMachine {
  const record = v.parse(recordSchema, JSON.parse(new TextDecoder().decode(bytes)));
  return {
    issuer: record.issuer,
    app: record.app,
    orgId: record.org_id,
    appId: record.app_id,
    machineId: record.machine_id,
    ...(record.image_digest === undefined ? {} : { imageDigest: record.image_digest }),
    firstSeenMs: record.first_seen_ms,
  };
}

const words = v.pipe(v.string(), v.nonEmpty());

const recordSchema = v.object({
  version: v.literal(1),
  issuer: words,
  app: words,
  org_id: words,
  app_id: words,
  machine_id: words,
  image_digest: v.optional(words),
  first_seen_ms: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});

const fileBytesMax = 16 * 1024;
