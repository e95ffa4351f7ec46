import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parse } from "smol-toml";
import * as v from "valibot";

export interface Crate {
  readonly name: string;
  readonly version: string;
  /** SHA-256 of the crate, as crates.io has it. */
  readonly checksum: string;
}

const cargoLock = v.object({
  package: v.array(
    v.object({ name: v.string(), version: v.string(), checksum: v.optional(v.string()) }),
  ),
});

/**
 * The Rust crates that the native half of the QUIC library was built from (quiche, boring and theirs), by
 * the Cargo.lock that comes with it: what was locked, more than what is linked.
 */
export async function quicCrates(): Promise<Crate[]> {
  const path = join(resolve(import.meta.dir, "../.."), "node_modules/@matrixai/quic/Cargo.lock");
  return parseCargoLock(await readFile(path, "utf8"));
}

export function parseCargoLock(text: string): Crate[] {
  return v
    .parse(cargoLock, parse(text))
    .package.flatMap(({ name, version, checksum }) =>
      checksum === undefined ? [] : [{ name, version, checksum }],
    );
}
