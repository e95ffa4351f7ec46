import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeBusyboxRootfs } from "../../test/support/busybox-rootfs.ts";
import { type Random, seededRandom } from "../../test/support/seed.ts";
import { system } from "../harness/sandbox.ts";

export interface TreeSize {
  readonly entries: number;
  readonly bytes: number;
}

/**
 * A root filesystem that boots, with sizes spread as in a distribution (many small, few large), content
 * half text and half noise.
 */
export class RootfsTree {
  readonly folder: string;
  readonly #size: TreeSize;
  readonly #random: Random = seededRandom(1);
  readonly #text: Uint8Array;
  readonly #noise: Uint8Array;

  constructor(folder: string, size: TreeSize) {
    this.folder = folder;
    this.#size = size;
    this.#noise = new Uint8Array(4 << 20).map(() => this.#random() * 256);
    const words = Array.from({ length: 200_000 }, () => Math.floor(this.#random() * 50_000));
    this.#text = Buffer.from(words.map((word) => word.toString(36)).join(" "));
    mkdirSync(folder, { recursive: true });
    makeBusyboxRootfs(folder);
    this.#fill();
  }

  /** Writes a part of the files anew, from 0 to 1, spread over all sizes. */
  change(part: number): void {
    const every = Math.round(1 / part);
    for (let index = 0; index < this.#size.entries; index += every)
      writeFileSync(this.#path(index), this.#content(index, this.#averageBytes));
  }

  /** As tar or tar.gz, by its name. */
  pack(archive: string): string {
    const flag = archive.endsWith(".gz") ? ["-I", "gzip -1"] : [];
    system("tar", ...flag, "-C", this.folder, "-cf", archive, ".");
    return archive;
  }

  #fill(): void {
    const { entries, bytes } = this.#size;
    const weights = Array.from({ length: entries }, () => Math.exp(this.#random() * 9));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    for (const [index, weight] of weights.entries()) {
      const path = this.#path(index);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, this.#content(index, Math.round((weight / sum) * bytes)));
    }
  }

  get #averageBytes(): number {
    return Math.round(this.#size.bytes / this.#size.entries);
  }

  #path(index: number): string {
    return join(this.folder, `usr/d${index % 40}/e${index % 900}/file${index}`);
  }

  #content(index: number, bytes: number): Uint8Array {
    const source = index % 2 === 0 ? this.#text : this.#noise;
    const half = source.length / 2;
    const start = Math.floor(this.#random() * half);
    const parts: Uint8Array[] = [];
    for (let left = bytes; left > 0; left -= half)
      parts.push(source.subarray(start, start + Math.min(left, half)));
    return Buffer.concat(parts);
  }
}
