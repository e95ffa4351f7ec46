import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeFile, openat2, openFlags } from "../../../src/system/filesystem.ts";
import { Extractor, type ExtractorSystem } from "../../../src/roles/init/provision/extractor.ts";
import type { ProvisionLimits } from "../../../src/roles/init/provision/limits.ts";
import type { TarLimits } from "../../../src/system/archive/tar/limits.ts";
import { TarReader } from "../../../src/system/archive/tar/reader.ts";

/** A folder of its own with an empty root to unpack into and a sentinel tree beside it; gone with the block. */
export class Scratch implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), "fv-provision-"));
  readonly root = join(this.dir, "root");
  readonly #sentinel = join(this.dir, "outside");
  readonly #before: string;

  constructor() {
    mkdirSync(this.root, { mode: 0o700 });
    mkdirSync(this.#sentinel);
    writeFileSync(join(this.#sentinel, "secret"), "untouched", { mode: 0o600 });
    writeFileSync(join(this.dir, "x"), "beside the root");
    this.#before = this.#outside();
  }

  /** Anything outside the root that is not as it was. */
  get escaped(): boolean {
    return this.#outside() !== this.#before;
  }

  path(name: string): Buffer {
    return Buffer.concat([Buffer.from(`${this.root}/`), Buffer.from(name, "latin1")]);
  }

  [Symbol.dispose](): void {
    // Paths as long as PATH_MAX are beyond node:fs.
    Bun.spawnSync(["rm", "-rf", "--", this.dir], { env: { PATH: process.env["PATH"] ?? "" } });
  }

  #outside(): string {
    return listing(this.dir, "root")
      .map((line) => JSON.stringify(line))
      .join("\n");
  }
}

export interface UnpackOptions {
  readonly slice?: number;
  readonly tarLimits?: TarLimits;
  readonly limits?: ProvisionLimits;
  readonly system?: ExtractorSystem;
}

/** Reader and extractor as the child runs them, but with nothing between them and the whole file system. */
export function unpackInto(
  root: string,
  bytes: Uint8Array | Iterable<Uint8Array>,
  options: UnpackOptions = {},
) {
  const rootFd = openat2(-100, root, { flags: openFlags.directory });
  const extractor = new Extractor(rootFd, options);
  try {
    const reader = new TarReader(options.tarLimits);
    const chunks = bytes instanceof Uint8Array ? sliced(bytes, options.slice) : bytes;
    for (const chunk of chunks) for (const event of reader.push(chunk)) extractor.accept(event);
    reader.finish();
    return extractor.finish();
  } finally {
    extractor.abandon();
    closeFile(rootFd);
  }
}

function* sliced(bytes: Uint8Array, slice = bytes.length): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += slice) yield bytes.subarray(at, at + slice);
}

export interface ListedFile {
  readonly path: string;
  readonly kind: string;
  readonly mode: string;
  readonly owner: string;
  readonly links: number | undefined;
  readonly mtime: string;
  readonly size: number | undefined;
  readonly content: string | undefined;
}

/** Every name below `dir` (latin1, one character per byte), sorted, with all that tar keeps. */
export function listing(dir: string, except?: string): ListedFile[] {
  const files: ListedFile[] = [];
  const walk = (folder: Buffer, prefix: string): void => {
    for (const name of readdirSync(folder, { encoding: "buffer" })) {
      const path = Buffer.concat([folder, Buffer.from("/"), name]);
      const shown = prefix + name.toString("latin1");
      if (shown === except) continue;
      files.push(fileOf(path, shown));
      if (lstatSync(path).isDirectory()) walk(path, `${shown}/`);
    }
  };
  walk(Buffer.from(dir), "");
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function fileOf(path: Buffer, shown: string): ListedFile {
  const status = lstatSync(path, { bigint: true });
  const isFile = status.isFile();
  return {
    path: shown,
    kind: (status.mode & 0o170000n).toString(8),
    mode: (status.mode & 0o7777n).toString(8),
    owner: `${status.uid}:${status.gid}`,
    links: status.isDirectory() ? undefined : Number(status.nlink),
    mtime: String(status.mtimeNs),
    size: isFile ? Number(status.size) : undefined,
    content: isFile
      ? sha256(readFileSync(path))
      : status.isSymbolicLink()
        ? target(path)
        : undefined,
  };
}

/** Extended attributes below `dir` that an archive may set, by file. */
export function attributes(dir: string): string {
  const script = `cd '${dir}' && find . -print0 | LC_ALL=C sort -z |
    xargs -0 getfattr -h -d -m '^(user|security)\\.' --absolute-names`;
  const run = Bun.spawnSync(["sh", "-c", script], { env: { PATH: process.env["PATH"] ?? "" } });
  if (run.exitCode !== 0) throw new Error(run.stderr.toString());
  return run.stdout.toString();
}

function target(path: Buffer): string {
  return readlinkSync(path, { encoding: "buffer" }).toString("latin1");
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}
