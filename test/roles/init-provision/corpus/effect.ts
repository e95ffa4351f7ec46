import { expect } from "bun:test";
import { lstatSync, readFileSync } from "node:fs";
import type { TarReason } from "../../../../src/system/archive/tar/refusal.ts";
import { listing, type Scratch } from "../scratch.ts";
import { file } from "../tar-builder.ts";

/** What becomes of an archive: refused for this reason, or accepted and then looked at. */
export type Effect = TarReason | ((root: Scratch, skipped: readonly string[]) => void);

/** The numbers are the rows of the threat table in docs/provisioning.md. */
export type Case = readonly [row: number, title: string, bytes: Uint8Array, effect: Effect];

type Look = (root: Scratch, skipped?: readonly string[]) => void;

export function content(path: string, expected: string): Look {
  return (root) => expect(readFileSync(root.path(path), "latin1")).toBe(expected);
}

export function paths(...expected: string[]): Look {
  return (root) =>
    expect(listing(root.root).map((found) => found.path)).toEqual(expected.toSorted());
}

export function mode(path: string, expected: number): Look {
  return (root) => expect(lstatSync(root.path(path)).mode & 0o7777).toBe(expected);
}

export function mtime(path: string, expectedSeconds: number): Look {
  return (root) => expect(lstatSync(root.path(path)).mtimeMs / 1000).toBe(expectedSeconds);
}

export function owner(path: string, expected: number): Look {
  return (root) => expect(lstatSync(root.path(path)).uid).toBe(expected);
}

export function skips(...words: string[]): Look {
  return (_root, skipped = []) => {
    for (const word of words) expect(skipped.join("\n")).toContain(word);
  };
}

export const good = file("good");
export const mib = 1024 * 1024;
/** cap_net_raw+ep, version 2, as setcap writes it. */
export const cap = Buffer.from("0100000200200000000000000000000000000000", "hex");

export function long(length: number): string {
  return "n".repeat(length);
}

export function deep(levels: number): string {
  return Array.from({ length: levels }, () => "d").join("/");
}

/** Undefined where the attribute is not set. */
export function getfattr(path: string, name: string): Buffer | undefined {
  const run = Bun.spawnSync(["getfattr", "--only-values", "--absolute-names", "-n", name, path], {
    env: { PATH: process.env["PATH"] ?? "" },
  });
  return run.exitCode === 0 ? run.stdout : undefined;
}
