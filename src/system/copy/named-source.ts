import { constants, lstatSync, openSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { type FileLook, lookOf } from "../file-look.ts";
import { hasCode } from "../filesystem.ts";
import { CopyTrouble } from "./copy-trouble.ts";
import { DescriptorTree } from "./descriptor-tree.ts";
import { pathText } from "./path-bytes.ts";
import type { SourceTree } from "./source-tree.ts";

/** Held already. Nothing below the folder is a link that leads somewhere, whoever puts one in the way meanwhile. */
export function openTree(path: Buffer, follow: boolean): SourceTree {
  return process.platform === "linux"
    ? DescriptorTree.open(path, follow)
    : new NamedSource({ follow: false });
}

/** By paths: for what a person named, and where there are no calls by descriptor (macOS). */
export class NamedSource implements SourceTree {
  readonly #follow: boolean;

  constructor({ follow }: { readonly follow: boolean }) {
    this.#follow = follow;
  }

  look(path: Buffer): FileLook {
    try {
      return lookOf((this.#follow ? statSync : lstatSync)(path, { bigint: true }));
    } catch (error) {
      if (!this.#follow || !hasCode(error, "ELOOP")) throw error;
      throw new CopyTrouble("missing", `${pathText(path)}: a link that leads back to itself`);
    }
  }

  names(path: Buffer): Buffer[] {
    return readdirSync(path, { encoding: "buffer" });
  }

  target(path: Buffer): Buffer {
    return readlinkSync(path, { encoding: "buffer" });
  }

  open(path: Buffer): number {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    return openSync(path, O_RDONLY | O_NONBLOCK | (this.#follow ? 0 : O_NOFOLLOW));
  }

  hold(): void {
    // It holds nothing.
  }

  release(): void {
    // It holds nothing.
  }
}
